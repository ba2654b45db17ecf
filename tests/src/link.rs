//! A link with a rate, a delay and a queue between two namespaces, for kernels without netem, and all that goes wrong on
//! one. A namespace between them has a card of each; frames go from one to the other through the queues here.
//!
//! Towards the far end is downstream: the far end is the client's, behind a NAT once that has begun.

mod nat;
mod police;
mod way;
mod weather;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;

use crate::netns::NetNs;
use crate::wire::tapping_socket;
use nat::Nat;
use way::Way;
pub use weather::Weather;

/// What is the same in both directions.
#[derive(Debug, Clone, Copy)]
pub struct Shape {
    pub delay: Duration,
    /// Bytes that wait for their turn; more are lost.
    pub queue: usize,
}

/// Dropping it ends the link.
pub struct Link {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    _between: NetNs,
}

/// By both directions.
struct Shared {
    over: AtomicBool,
    weather: Mutex<Weather>,
    nat: Mutex<Nat>,
    /// UDP from the far end, whatever became of it.
    udp_upstream: AtomicU64,
}

const NEAR: &str = "near";
const FAR: &str = "far";

/// An end of the link: a namespace, the name its card gets, and its address.
pub type End<'n> = (&'n NetNs, &'n str, &'n str);

impl Link {
    /// From `near` to `far`, without a limit yet.
    pub fn new(near: End<'_>, far: End<'_>, shape: Shape) -> Result<Link> {
        Self::seeded(near, far, shape, 0)
    }

    /// The same, with other frames lost and late for another `seed`.
    pub fn seeded(near: End<'_>, far: End<'_>, shape: Shape, seed: u64) -> Result<Link> {
        let between = NetNs::new("link")?;
        for (name, (namespace, card, address)) in [(NEAR, near), (FAR, far)] {
            let kind = ["type", "veth", "peer", "name", card, "netns"];
            let add = [&["link", "add", name][..], &kind, &[namespace.name()]].concat();
            between.ip(&add)?;
            let silence = format!("echo 1 > /proc/sys/net/ipv6/conf/{name}/disable_ipv6");
            between.run("sh", &["-c", &silence])?;
            between.ip(&["link", "set", name, "promisc", "on", "arp", "off", "up"])?;
            namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", card])?;
            namespace.ip(&["link", "set", card, "up"])?;
            // Whole frames with whole checksums, as on a wire.
            let plain = ["-K", card, "tx", "off", "tso", "off", "gso", "off"];
            namespace.run("ethtool", &plain)?;
        }
        let shared = Arc::new(Shared {
            over: AtomicBool::new(false),
            weather: Mutex::new(Weather::fine(shape.delay)),
            nat: Mutex::default(),
            udp_upstream: AtomicU64::new(0),
        });
        let socket = |card| between.enter(|| tapping_socket(card));
        let (near, far) = (socket(NEAR)?, socket(FAR)?);
        let back = Way {
            from: far.try_clone()?,
            to: near.try_clone()?,
            queue: shape.queue,
            downstream: false,
            seed: 2 * seed,
            shared: Arc::clone(&shared),
        };
        let forth = Way {
            from: near,
            to: far,
            queue: shape.queue,
            downstream: true,
            seed: 2 * seed + 1,
            shared: Arc::clone(&shared),
        };
        let threads = [forth, back].map(|way| std::thread::spawn(move || way.run()));
        Ok(Link {
            shared,
            threads: threads.into(),
            _between: between,
        })
    }

    /// Towards the far end, for what waits already as well; `None`: as fast as it goes.
    pub fn limit(&self, bits_per_second: Option<u64>) {
        self.change(|weather| weather.rate = bits_per_second);
    }

    /// From the next frame on.
    pub fn change(&self, change: impl FnOnce(&mut Weather)) {
        let weather = &self.shared.weather;
        change(&mut weather.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// The NAT of the far end forgets all of its mappings: UDP comes from other ports from now on, and what is sent to the
    /// former ones arrives nowhere.
    pub fn rebind(&self) {
        let nat = &self.shared.nat;
        nat.lock().unwrap_or_else(PoisonError::into_inner).rebind();
    }

    /// UDP packets that the far end has sent, whatever became of them.
    pub fn udp_upstream(&self) -> u64 {
        self.shared.udp_upstream.load(Relaxed)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.over.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}
