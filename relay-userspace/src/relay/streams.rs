//! What all connections over TCP share, by the configuration: bounds of queues, places, certificates, what HTTP is for.

use std::sync::Arc;

use crate::config::Config;
use crate::net::shared::Streams;
use crate::net::stream::gate::{Gate, Places};
use crate::stream::queue::Limits;
use crate::tls::Certificates;
use crate::web::Web;

/// `seed`: so that nobody can aim at another prefix's rate.
pub fn streams(config: &Config, tls: Certificates, web: Arc<Web>, seed: [u8; 32]) -> Streams {
    let stream = &config.stream;
    let gate = |total, of_a_prefix| {
        let places = Places { total, of_a_prefix };
        Gate::new(places, stream.handshakes_per_second, seed)
    };
    let pages = &config.signaling;
    Streams {
        queue: Limits {
            bytes: stream.max_queue_bytes,
            age: stream.max_queue_age,
        },
        patience: stream.setup_timeout,
        gate: gate(stream.max_waiting, stream.max_waiting_per_prefix),
        pages: gate(pages.max_connections, pages.max_connections_per_prefix),
        web,
        tls,
        proxies: config.listen.proxy_protocol_from.clone(),
    }
}
