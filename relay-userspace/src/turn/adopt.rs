//! Other rules while the server runs: for every request from now on, and for allocations that they no longer allow.

use std::time::{Duration, Instant};

use super::allocation::Allocation;
use super::config::Rules;
use super::counters::Counter;
use super::identity::Now;
use super::server::Server;
use super::table::Slot;
use super::timer::Timer;
use crate::credentials::Grantor;
use crate::events::Reason;

impl Server {
    /// Allocations whose user, password or secret is gone end before this returns; all others go on.
    pub fn adopt(&mut self, now: Now, rules: Rules) {
        let all_known = rules.credentials.knows_all_names() && rules.directory.is_none();
        self.nonces.say(all_known);
        self.config.credentials = rules.credentials;
        self.config.limits = rules.limits;
        self.config.strict_expiry = rules.strict_expiry;
        self.config.directory = rules.directory;
        self.config.alternates = rules.alternates;
        self.config.mobility = rules.mobility;
        for slot in self.revoked() {
            self.end_allocation(slot, Reason::Revoked);
            self.counters.bump(Counter::AllocationsRevoked);
        }
        let slots: Vec<_> = self.table.iter().map(|(slot, _)| slot).collect();
        for slot in slots {
            let allocation = &self.table[slot];
            let until =
                self.within_credential(now, allocation.expires, allocation.credential_expires);
            self.expire_at(slot, until);
        }
    }

    fn revoked(&self) -> Vec<Slot> {
        let credentials = &self.config.credentials;
        let all = self.table.iter();
        let hooked = self.config.directory.is_some();
        let grants = |one: &Allocation| match one.grantor {
            Grantor::Hook => hooked,
            _ => credentials.still_grants(&one.grantor, &one.username, &one.key),
        };
        all.filter(|(_, one)| !grants(one))
            .map(|(slot, _)| slot)
            .collect()
    }

    /// `expires`, or when the credential (Unix seconds) does, if that is earlier and counts.
    pub(super) fn within_credential(
        &self,
        now: Now,
        expires: Instant,
        credential: Option<u64>,
    ) -> Instant {
        match credential {
            Some(credential) if self.config.strict_expiry => expires.min(now.at(credential)),
            _ => expires,
        }
    }

    /// Why an allocation whose time is over ends.
    pub(super) fn expiry_of(&self, now: Now, slot: Slot) -> Reason {
        let credential = self.table[slot].credential_expires;
        match credential {
            Some(at) if self.config.strict_expiry && now.at(at) <= now.mono => {
                Reason::CredentialExpired
            }
            _ => Reason::Expired,
        }
    }

    /// The deadline of an allocation and of its sessions. The kernel knows it as well.
    pub(super) fn expire_at(&mut self, slot: Slot, expires: Instant) {
        let before = std::mem::replace(&mut self.table[slot].expires, expires);
        self.timers.reset(before, expires, Timer::Allocation(slot));
        self.tell_deadlines(slot);
    }
}

/// Whole seconds from `now` to `expires`, as LIFETIME says it: 0 would mean that it is gone.
pub(super) fn lifetime_until(now: Now, expires: Instant) -> u32 {
    let left = expires.saturating_duration_since(now.mono);
    u32::try_from(left.max(Duration::from_secs(1)).as_secs()).unwrap_or(u32::MAX)
}
