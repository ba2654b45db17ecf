//! What the workers' servers share: quotas and flood limits. Touched by control messages only, never by relayed data.

pub(super) mod flood;
mod quota;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::identity::AllocationId;

use crate::config::{self, Auth, Caps, Limits};

pub use quota::{Ceilings, Held};
pub(super) use quota::{Full, Place};

/// Wrong passwords heard of one source prefix: many clients begin at once, few of them mistype.
const GUESSES_PER_SECOND: u32 = 50;
/// Of one host in it: alone it cannot keep its neighbours from logging in.
const GUESSES_OF_A_HOST: u32 = 10;

#[derive(Debug)]
pub struct Shared {
    quota: Arc<quota::Quota>,
    flood: flood::Flood,
    all: Option<flood::Flood>,
    guesses: flood::Flood,
    guesses_of_hosts: flood::Flood,
    /// Allocations that moved to another worker than their id says.
    moved: Mutex<HashMap<AllocationId, usize>>,
}

impl Shared {
    /// `seed` keys the table of source prefixes, so that nobody can aim at someone else's bucket.
    pub fn new(limits: &Limits, shield: &config::Shield, seed: [u8; 32]) -> Arc<Self> {
        let per_second = limits.unauthenticated_per_second;
        Arc::new(Self {
            quota: Arc::new(quota::Quota::new(Ceilings::new(limits, &Auth::default()))),
            flood: flood::Flood::new(per_second, seed),
            all: (shield.enabled).then(|| flood::Flood::of_all(shield.strangers_per_cpu, seed)),
            guesses: flood::Flood::new(per_second.min(GUESSES_PER_SECOND), seed),
            guesses_of_hosts: flood::Flood::new(per_second.min(GUESSES_OF_A_HOST), seed),
            moved: Mutex::default(),
        })
    }

    /// For what is asked from now on.
    pub fn set_ceilings(&self, ceilings: Ceilings) {
        self.quota.set(ceilings);
    }

    /// What users with allocations hold.
    pub fn users(&self) -> Vec<(String, Held)> {
        self.quota.users()
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

    /// A place for one more allocation of `user`, who has caps of its own if somebody set them, given back when dropped.
    pub(super) fn admit_allocation(
        &self,
        user: &str,
        group: Option<&Arc<str>>,
        client: IpAddr,
        own: Option<Caps>,
    ) -> Result<Place, Full> {
        self.quota.admit(user, group, client, own)
    }

    /// Whether a request nobody vouches for may be answered. A client's connection has a rate of its own, and so has
    /// the address of one: they do not pay for strangers of their prefix.
    pub(super) fn admit_unauthenticated(
        &self,
        source: SocketAddr,
        has_allocation: bool,
        now: Instant,
    ) -> bool {
        if has_allocation {
            self.flood.admit(source, now)
        } else if self.quota.is_client(source.ip()) {
            self.flood.admit(source.ip(), now)
        } else {
            self.flood.admit(flood::prefix(source.ip()), now)
                && self.all.as_ref().is_none_or(|all| all.admit((), now))
        }
    }

    /// Whether a password may be tried: few wrong ones came from there. Nobody uses up the tries of another prefix,
    /// because a nonce reaches only who can be reached, and one host a fifth of its own prefix's.
    pub(super) fn may_guess(&self, source: IpAddr, now: Instant) -> bool {
        self.guesses_of_hosts.would_admit(flood::host(source), now)
            && self.guesses.would_admit(flood::prefix(source), now)
    }

    pub(super) fn guessed_wrong(&self, source: IpAddr, now: Instant) {
        self.guesses_of_hosts.admit(flood::host(source), now);
        self.guesses.admit(flood::prefix(source), now);
    }
}
