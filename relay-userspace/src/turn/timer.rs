//! What is due when, in one ordered set: as many entries as there are things that end, each moved in place.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Instant;

use super::identity::FiveTuple;
use super::table::Slot;
use super::tcp::ConnectionId;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    /// When to end an allocation nobody refreshed.
    Allocation(Slot),
    /// When to drop a permission.
    Permission(Slot, IpAddr),
    /// When to end a channel, and later when its number and peer may be bound anew.
    Channel(Slot, u16),
    /// When to take no more from the 5-tuple an allocation moved away from.
    Former(Slot),
    /// When to give up a peer connection that is not there, or that nobody takes.
    Connection(ConnectionId),
    /// When to forget that a client deleted its allocation.
    Farewell(FiveTuple),
}

#[derive(Debug, Default)]
pub(super) struct Timers {
    due: BTreeSet<(Instant, Timer)>,
}

impl Timers {
    pub fn set(&mut self, at: Instant, timer: Timer) {
        self.due.insert((at, timer));
    }

    /// `at` is where the timer stands.
    pub fn cancel(&mut self, at: Instant, timer: Timer) {
        let stood = self.due.remove(&(at, timer));
        debug_assert!(stood, "{timer:?} was not set for this moment");
    }

    pub fn reset(&mut self, from: Instant, to: Instant, timer: Timer) {
        if from != to {
            self.cancel(from, timer);
            self.set(to, timer);
        }
    }

    pub fn next(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, Timer)> {
        if self.next()? > now {
            return None;
        }
        self.due.pop_first()
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.due.len()
    }
}
