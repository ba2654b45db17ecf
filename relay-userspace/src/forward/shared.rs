//! What the workers share of one forward: the session limit and its counts. Touched when sessions begin and end, never per packet.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

#[derive(Debug)]
pub struct SharedLimit {
    max_sessions: usize,
    sessions: AtomicUsize,
    refused: AtomicU64,
}

impl SharedLimit {
    pub fn new(max_sessions: usize) -> SharedLimit {
        SharedLimit {
            max_sessions,
            sessions: AtomicUsize::new(0),
            refused: AtomicU64::new(0),
        }
    }

    /// Takes the place of one session, if one is free.
    pub fn take(&self) -> bool {
        let one_more = |sessions| (sessions < self.max_sessions).then_some(sessions + 1);
        self.sessions
            .fetch_update(Relaxed, Relaxed, one_more)
            .is_ok()
    }

    pub fn give_back(&self) {
        self.sessions.fetch_sub(1, Relaxed);
    }

    pub fn sessions(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    /// A client got no session because of `allow`, `max_sessions` or the rate.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    pub fn refused(&self) -> u64 {
        self.refused.load(Relaxed)
    }
}
