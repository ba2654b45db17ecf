//! A TURN server that is measured: ours, or coturn beside it. Dropping it ends its process.

use std::process::Child;

use crate::relay::Relay;

pub enum Running {
    Relay(Relay),
    Coturn(Child),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Coturn(child) = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Running {
    pub fn pid(&self) -> u32 {
        match self {
            Self::Relay(relay) => relay.pid(),
            Self::Coturn(child) => child.id(),
        }
    }
}
