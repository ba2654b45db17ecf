//! The fast path in network namespaces of its own: what it wants without a program, and what its program does on cards.

mod cards;
mod lab;
mod mirror;

use std::time::{Duration, Instant};

use super::{Leg, SessionSpec};

fn spec(near: (&str, &str), far: (&str, &str)) -> SessionSpec {
    let leg = |(remote, local): (&str, &str)| Leg {
        remote: remote.parse().unwrap(),
        local: local.parse().unwrap(),
        channel: None,
        deadline: Instant::now() + Duration::from_secs(60),
    };
    SessionSpec {
        near: leg(near),
        far: leg(far),
    }
}
