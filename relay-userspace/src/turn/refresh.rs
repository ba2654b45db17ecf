//! Refresh (RFC 8656 §8.2): a new lifetime, longer, shorter or none. What becomes shorter is ordered before the answer.

use std::time::Duration;

use stun_types::message::Message;
use turn_types::attribute::Lifetime;

use super::allocate::requested_family;
use super::answer::{Reject, Success};
use super::auth::User;
use super::counters::Counter;
use super::identity::{FiveTuple, Now};
use super::message::optional;
use super::server::Server;
use super::timer::Timer;

impl Server {
    pub(super) fn refresh(
        &mut self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User,
    ) -> Result<Success, Reject> {
        let wanted = optional::<Lifetime>(message)?.map(|lifetime| lifetime.seconds());
        let family = requested_family(message)?;
        let Some(slot) = self.table.of_client(&from) else {
            return if self.farewells.knows(from, message.transaction_id()) {
                self.counters.bump(Counter::Retransmissions);
                Ok(Success::Refreshed { lifetime: 0 })
            } else {
                Err(Reject::AllocationMismatch)
            };
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
                return Ok(Success::Refreshed { lifetime: 0 });
            }
            return Err(Reject::PeerFamilyMismatch);
        }
        if wanted == Some(0) {
            let one_of_two = family.filter(|_| relayed.iter().count() == 2);
            if let Some(family) = one_of_two {
                self.end_family(slot, family);
                self.table[slot].halved = Some(message.transaction_id());
                return Ok(Success::Refreshed { lifetime: 0 });
            }
            self.end_allocation(slot);
            self.counters.bump(Counter::AllocationsDeleted);
            if let Some(until) = self
                .farewells
                .remember(from, message.transaction_id(), now.mono)
            {
                self.timers.set(until, Timer::Farewell(from));
            }
            return Ok(Success::Refreshed { lifetime: 0 });
        }
        let lifetime = self.lifetime(wanted);
        let expires = now.mono + Duration::from_secs(lifetime.into());
        let before = std::mem::replace(&mut self.table[slot].expires, expires);
        self.timers.reset(before, expires, Timer::Allocation(slot));
        self.tell_deadlines(slot);
        self.counters.bump(Counter::Refreshed);
        Ok(Success::Refreshed { lifetime })
    }

    pub(super) fn forget_farewell(&mut self, tuple: FiveTuple) {
        if let Some(until) = self.farewells.forget(tuple) {
            self.timers.cancel(until, Timer::Farewell(tuple));
        }
    }
}
