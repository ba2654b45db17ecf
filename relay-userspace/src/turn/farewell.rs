//! Clients that just deleted their allocation, so that a repeated Refresh gets the success that was lost. Bounded.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

use super::hash::Keyed;
use super::identity::FiveTuple;

/// RFC 8489 §6.2.1: a client repeats a request for 39.5 s.
const REMEMBERED: Duration = Duration::from_secs(40);
/// Beyond it a repetition is answered 437, which means the same to a client.
const KEPT: usize = 4096;

#[derive(Debug, Clone, Copy)]
struct Farewell {
    transaction: TransactionId,
    until: Instant,
}

#[derive(Debug)]
pub(super) struct Farewells {
    by_tuple: HashMap<FiveTuple, Farewell, Keyed>,
}

impl Farewells {
    pub fn new(hash: Keyed) -> Self {
        Self {
            by_tuple: HashMap::with_hasher(hash),
        }
    }

    /// When to forget it again; `None` when there is no room to remember it. At most one a client: forget the last first.
    pub fn remember(
        &mut self,
        tuple: FiveTuple,
        transaction: TransactionId,
        now: Instant,
    ) -> Option<Instant> {
        if self.by_tuple.len() >= KEPT {
            return None;
        }
        let until = now + REMEMBERED;
        self.by_tuple.insert(tuple, Farewell { transaction, until });
        Some(until)
    }

    pub fn knows(&self, tuple: FiveTuple, transaction: TransactionId) -> bool {
        self.by_tuple
            .get(&tuple)
            .is_some_and(|farewell| farewell.transaction == transaction)
    }

    /// When it would have been forgotten.
    pub fn forget(&mut self, tuple: FiveTuple) -> Option<Instant> {
        self.by_tuple.remove(&tuple).map(|farewell| farewell.until)
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.by_tuple.len()
    }
}
