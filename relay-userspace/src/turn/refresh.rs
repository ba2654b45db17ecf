//! Refresh (RFC 8656 §8.2): a new lifetime, longer, shorter or none. What becomes shorter is ordered before the answer.

use std::time::Duration;

use stun_types::message::Message;
use turn_types::attribute::Lifetime;

use super::adopt::lifetime_until;
use super::allocate::requested_family;
use super::answer::{Reject, Success};
use super::auth::User;
use super::counters::Counter;
use super::identity::{FiveTuple, Now};
use super::message::optional;
use super::mobility::presented;
use super::server::Server;
use super::timer::Timer;
use crate::events::{Change, Reason};

const GONE: Success = Success::Refreshed {
    lifetime: 0,
    ticket: None,
};

impl Server {
    pub(super) fn refresh(
        &mut self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User,
    ) -> Result<Option<Success>, Reject> {
        let wanted = optional::<Lifetime>(message)?.map(|lifetime| lifetime.seconds());
        let family = requested_family(message)?;
        let slot = match (self.table.of_client(&from), presented(message)) {
            (Some(slot), _) => slot,
            (None, _) if self.farewells.knows(from, message.transaction_id()) => {
                self.counters.bump(Counter::Retransmissions);
                return Ok(Some(GONE));
            }
            (None, None) => return Err(Reject::AllocationMismatch),
            (None, Some(ticket)) => {
                match self.come_over(now, from, message, user, &ticket.value)? {
                    Some(slot) => slot,
                    None => return Ok(None),
                }
            }
        };
        let allocation = &self.table[slot];
        if allocation.username != user.username {
            return Err(Reject::WrongCredentials);
        }
        let Some(relayed) = allocation.relayed() else {
            return Err(Reject::AllocationMismatch);
        };
        if family.is_some_and(|family| relayed.of(family).is_none()) {
            if wanted == Some(0) && allocation.halved == Some(message.transaction_id()) {
                self.counters.bump(Counter::Retransmissions);
                return Ok(Some(GONE));
            }
            return Err(Reject::PeerFamilyMismatch);
        }
        if wanted == Some(0) {
            let one_of_two = family.filter(|_| relayed.iter().count() == 2);
            if let Some(family) = one_of_two {
                self.end_family(slot, family);
                self.table[slot].halved = Some(message.transaction_id());
                return Ok(Some(GONE));
            }
            self.end_allocation(slot, Reason::Deleted);
            self.counters.bump(Counter::AllocationsDeleted);
            if let Some(until) = self
                .farewells
                .remember(from, message.transaction_id(), now.mono)
            {
                self.timers.set(until, Timer::Farewell(from));
            }
            return Ok(Some(GONE));
        }
        let lifetime = self.lifetime(wanted);
        let expires = now.mono + Duration::from_secs(lifetime.into());
        let expires = self.within_credential(now, expires, self.table[slot].credential_expires);
        let lifetime = lifetime.min(lifetime_until(now, expires));
        self.expire_at(slot, expires);
        self.tell_allocation(slot, Change::Changed, Some(Reason::Refreshed));
        self.counters.bump(Counter::Refreshed);
        Ok(Some(self.refreshed(now, slot, lifetime)))
    }

    pub(super) fn forget_farewell(&mut self, tuple: FiveTuple) {
        if let Some(until) = self.farewells.forget(tuple) {
            self.timers.cancel(until, Timer::Farewell(tuple));
        }
    }
}
