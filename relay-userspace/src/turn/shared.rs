//! What the workers' servers share: quotas and flood limits. Touched by control messages only, never by relayed data.

pub(super) mod flood;
mod quota;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::identity::AllocationId;

use crate::config::Limits;

pub(super) use quota::{Full, Place};

#[derive(Debug)]
pub struct Shared {
    quota: Arc<quota::Quota>,
    flood: flood::Flood,
    guesses: flood::Flood,
    /// Allocations that moved to another worker than their id says.
    moved: Mutex<HashMap<AllocationId, usize>>,
}

impl Shared {
    /// `seed` keys the table of source prefixes, so that nobody can aim at someone else's bucket.
    pub fn new(limits: &Limits, seed: [u8; 32]) -> Arc<Self> {
        Arc::new(Self {
            quota: Arc::new(quota::Quota::new(
                limits.allocations,
                limits.allocations_per_user,
            )),
            flood: flood::Flood::new(limits.unauthenticated_per_second, seed),
            guesses: flood::Flood::new(limits.unauthenticated_per_second, seed),
            moved: Mutex::default(),
        })
    }

    /// Allocations alive, over all workers.
    pub fn allocations(&self) -> usize {
        self.quota.total()
    }

    /// The worker an allocation moved to.
    pub(super) fn home(&self, allocation: AllocationId) -> Option<usize> {
        self.lock_moved().get(&allocation).copied()
    }

    pub(super) fn moved(&self, allocation: AllocationId, to: usize) {
        self.lock_moved().insert(allocation, to);
    }

    /// It ended, or is between two workers.
    pub(super) fn left(&self, allocation: AllocationId) {
        self.lock_moved().remove(&allocation);
    }

    fn lock_moved(&self) -> MutexGuard<'_, HashMap<AllocationId, usize>> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for one more allocation of `user`, given back when dropped.
    pub(super) fn admit_allocation(&self, user: &str) -> Result<Place, Full> {
        self.quota.admit(user)
    }

    /// Whether a request nobody vouches for may be answered.
    pub(super) fn admit_unauthenticated(
        &self,
        source: std::net::IpAddr,
        now: std::time::Instant,
    ) -> bool {
        self.flood.admit(source, now)
    }

    /// Whether a password may be tried: few wrong ones came from there. Nobody can use up another's tries, because a
    /// nonce reaches only who can be reached.
    pub(super) fn may_guess(&self, source: std::net::IpAddr, now: std::time::Instant) -> bool {
        self.guesses.would_admit(source, now)
    }

    pub(super) fn guessed_wrong(&self, source: std::net::IpAddr, now: std::time::Instant) {
        self.guesses.admit(source, now);
    }
}
