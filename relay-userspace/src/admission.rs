//! Whether the relay begins anything new: closed while it drains. Read when an allocation or a forward's session is asked
//! for, never per packet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Open at first; clones are the same door.
#[derive(Debug, Clone, Default)]
pub struct Admission {
    closed: Arc<AtomicBool>,
}

impl Admission {
    pub fn is_closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    pub fn close(&self) {
        self.closed.store(true, Relaxed);
    }

    pub fn open(&self) {
        self.closed.store(false, Relaxed);
    }
}
