//! Allocations that follow their client (RFC 8016): to another 5-tuple, another transport, another worker.
//!
//! What peers send goes to the new 5-tuple as soon as the move succeeded; what the client sends is taken from the former
//! one until a second after the new one is used. A ticket is good until a later one has been presented.

use std::time::{Duration, Instant};

use stun_types::attribute::{AttributeType, RawAttribute};
use stun_types::message::Message;

use super::allocation::Allocation;
use super::answer::{Reject, Success};
use super::auth::User;
use super::command::Command;
use super::counters::Counter;
use super::identity::{AllocationId, FiveTuple, Now};
use super::server::Server;
use super::table::Slot;
use super::ticket::{Sealed, Ticket};
use super::timer::Timer;
use crate::events::{Change, Reason};

pub(super) const MOBILITY_TICKET: AttributeType = AttributeType::new(0x8030);
/// What is on its way on the former path arrives within this, or never.
pub const FORMER: Duration = Duration::from_secs(30);
/// Once the new path is used: what left before by a slower one may still be behind what leaves by it now.
const OVERTAKEN: Duration = Duration::from_secs(1);

/// Of an allocation whose client asked for it.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Mobility {
    /// The serial of the last ticket issued.
    pub issued: u32,
    /// Of the last one presented: older ones are void.
    pub presented: u32,
    pub former: Option<(FiveTuple, Instant)>,
}

/// An allocation between two workers, without its sockets.
#[derive(Debug)]
pub struct Departed(Box<Allocation>);

impl Departed {
    pub fn id(&self) -> AllocationId {
        self.0.id
    }

    /// The path its client leaves.
    pub fn tuple(&self) -> FiveTuple {
        self.0.tuple
    }

    pub fn relayed(&self) -> impl Iterator<Item = std::net::SocketAddr> + use<> {
        self.0.held.iter()
    }
}

/// The ticket of a request; empty in an Allocate that wants one.
pub(super) fn presented<'m>(message: &'m Message<'m>) -> Option<RawAttribute<'m>> {
    message.raw_attribute(MOBILITY_TICKET)
}

impl Server {
    /// Whether an Allocate wants to be mobile (RFC 8016 §3.1).
    pub(super) fn wants_mobility(&self, message: &Message<'_>) -> Result<bool, Reject> {
        match presented(message) {
            None => Ok(false),
            Some(_) if !self.config.mobility => Err(Reject::MobilityForbidden),
            Some(ticket) if ticket.value.is_empty() => Ok(true),
            Some(_) => Err(Reject::BadRequest),
        }
    }

    /// A new ticket for a mobile allocation, as long as its lifetime.
    pub(super) fn issue_ticket(&mut self, now: Now, slot: Slot) -> Option<Sealed> {
        let allocation = &mut self.table[slot];
        let mobility = allocation.mobility.as_mut()?;
        mobility.issued += 1;
        let left = allocation.expires.saturating_duration_since(now.mono);
        Some(self.tickets.seal(Ticket {
            allocation: allocation.id,
            serial: mobility.issued,
            expires: (now.unix + left.as_secs()) as u32,
            owner: self.tickets.owner(&allocation.username),
        }))
    }

    /// Whether `message` holds a ticket of `username`: who has one still owns an allocation, maybe of another worker,
    /// even after the credential that made it ran out.
    pub(super) fn owns_ticket(&self, now: Now, message: &Message<'_>, username: &str) -> bool {
        presented(message)
            .and_then(|ticket| self.tickets.open(&ticket.value, now.unix))
            .is_some_and(|ticket| ticket.owner == self.tickets.owner(username))
    }

    /// A Refresh of a client without an allocation here, with a ticket: the allocation comes to it. `None`: it comes from
    /// another worker first.
    pub(super) fn come_over(
        &mut self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User,
        sealed: &[u8],
    ) -> Result<Option<Slot>, Reject> {
        if !self.config.mobility {
            return Err(Reject::MobilityForbidden);
        }
        let ticket = self.tickets.open(sealed, now.unix);
        let ticket = ticket.ok_or(Reject::BadRequest)?;
        if ticket.owner != self.tickets.owner(&user.username) {
            return Err(Reject::WrongCredentials);
        }
        if let Some(slot) = self.table.of_id(ticket.allocation) {
            self.relocate(now, slot, from, ticket.serial)?;
            return Ok(Some(slot));
        }
        let home = self.config.shared.home(ticket.allocation);
        let home = home.unwrap_or(ticket.allocation.0 as usize % self.config.worker_count);
        if home == self.config.worker_index || !self.may_fetch {
            return Err(Reject::AllocationMismatch);
        }
        self.commands.push_back(Command::FetchAllocation {
            allocation: ticket.allocation,
            serial: ticket.serial,
            home,
            from,
            request: message.as_bytes().to_vec(),
        });
        Ok(None)
    }

    /// Its sessions leave the kernel before the client is told, and come back with the new 5-tuple.
    fn relocate(
        &mut self,
        now: Now,
        slot: Slot,
        from: FiveTuple,
        serial: u32,
    ) -> Result<(), Reject> {
        self.judge_move(slot, serial)?;
        self.forget_former(slot);
        self.forget_former_at(from);
        self.forget_farewell(from);
        let running = self.running(slot);
        for (session, _) in &running {
            let session = *session;
            self.commands.push_back(Command::RemoveSession { session });
        }
        let until = now.mono + FORMER;
        let former = self.table.move_client(slot, from);
        self.meet_client(slot);
        self.table[slot].place.follow(from.client.ip());
        self.table.set_former(slot, former, until);
        self.timers.set(until, Timer::Former(slot));
        if let Some(mobility) = &mut self.table[slot].mobility {
            mobility.presented = serial;
        }
        let allocation = &self.table[slot];
        for (session, number) in running {
            let Some(channel) = allocation.channels.get(number) else {
                continue;
            };
            let Some(relayed) = allocation.held.facing(channel.peer.ip()) else {
                continue;
            };
            self.commands.push_back(Command::InstallSession {
                session,
                allocation: allocation.id,
                transport: from.transport,
                spec: allocation.spec(number, channel, relayed),
            });
        }
        self.tell_allocation(slot, Change::Changed, Some(Reason::Moved));
        self.counters.bump(Counter::AllocationsMoved);
        Ok(())
    }

    fn judge_move(&self, slot: Slot, serial: u32) -> Result<(), Reject> {
        let allocation = &self.table[slot];
        let (Some(mobility), Some(_)) = (allocation.mobility, allocation.relayed()) else {
            return Err(Reject::AllocationMismatch);
        };
        match (mobility.presented..=mobility.issued).contains(&serial) {
            true => Ok(()),
            false => Err(Reject::BadRequest),
        }
    }

    fn running(&self, slot: Slot) -> Vec<(crate::fastpath::SessionId, u16)> {
        let channels = self.table[slot].channels.iter();
        let mut running: Vec<_> = channels
            .filter_map(|(number, channel)| Some((channel.session?, number)))
            .collect();
        running.sort_unstable();
        running
    }

    /// Another worker's client presented this ticket: the allocation goes there, its sessions out of the kernel first.
    /// `None`: it stays, or is gone.
    pub fn depart(&mut self, allocation: AllocationId, serial: u32) -> Option<Departed> {
        let slot = self.table.of_id(allocation)?;
        self.judge_move(slot, serial).ok()?;
        for (session, _) in self.running(slot) {
            self.commands.push_back(Command::RemoveSession { session });
        }
        Some(Departed(Box::new(self.take_out(slot))))
    }

    /// What [`Command::FetchAllocation`] asked for, and the request that wants it. Its sockets are open already.
    pub fn fetched(
        &mut self,
        now: Now,
        from: FiveTuple,
        request: &[u8],
        departed: Option<Departed>,
    ) {
        let arrived = departed.map(|departed| self.arrive(departed));
        self.may_fetch = false;
        let relayed = self.handle_client(now, from, request);
        debug_assert!(relayed.is_none(), "a Refresh relays nothing");
        self.may_fetch = true;
        // What did not reach its client here is reachable by nobody.
        let lost = arrived.and_then(|id| self.table.of_id(id));
        if let Some(slot) = lost.filter(|slot| self.table[*slot].tuple != from) {
            self.end_allocation(slot, Reason::Lost);
        }
    }

    /// It arrives nowhere.
    pub fn lost(&mut self, departed: &Departed) {
        self.part_from(&departed.0);
        self.tell_end(&departed.0, Reason::Lost);
    }

    fn arrive(&mut self, departed: Departed) -> AllocationId {
        let allocation = *departed.0;
        let (id, expires) = (allocation.id, allocation.expires);
        let permissions: Vec<_> = allocation
            .permissions
            .iter()
            .map(|(&peer, &expires)| (peer, expires))
            .collect();
        let channels: Vec<_> = allocation
            .channels
            .iter()
            .map(|(number, channel)| (number, channel.due()))
            .collect();
        self.config.shared.moved(id, self.config.worker_index);
        if let Some(stale) = self.table.of_client(&allocation.tuple) {
            self.end_allocation(stale, Reason::Replaced);
        }
        let slot = self.table.insert(allocation);
        self.timers.set(expires, Timer::Allocation(slot));
        for (peer, expires) in permissions {
            self.timers.set(expires, Timer::Permission(slot, peer));
        }
        for (number, due) in channels {
            self.timers.set(due, Timer::Channel(slot, number));
        }
        id
    }

    /// Whether what still comes by this path is an allocation's of this server, whose client has another path now.
    pub fn is_former(&self, tuple: &FiveTuple) -> bool {
        self.table.of_former(tuple).is_some() && !self.serves(tuple)
    }

    /// The allocation data of a client belongs to. On the new path it ends the former one, soon.
    pub(super) fn of_path(&mut self, now: Instant, from: FiveTuple) -> Option<Slot> {
        let Some(slot) = self.table.of_client(&from) else {
            return self.table.of_former(&from);
        };
        let end = now + OVERTAKEN;
        if let Some(until) = self.table.shorten_former(slot, end) {
            self.timers.reset(until, end, Timer::Former(slot));
        }
        Some(slot)
    }

    pub(super) fn forget_former(&mut self, slot: Slot) {
        if let Some((former, until)) = self.table.take_former(slot) {
            self.part_from_path(former);
            self.timers.cancel(until, Timer::Former(slot));
        }
    }

    /// Its time is over: nothing is on its way there any more.
    pub(super) fn former_due(&mut self, slot: Slot) {
        if let Some((former, _)) = self.table.take_former(slot) {
            self.part_from_path(former);
        }
    }

    /// Somebody else's 5-tuple from now on.
    pub(super) fn forget_former_at(&mut self, tuple: FiveTuple) {
        if let Some(slot) = self.table.of_former(&tuple) {
            self.forget_former(slot);
        }
    }

    pub(super) fn refreshed(&mut self, now: Now, slot: Slot, lifetime: u32) -> Success {
        let ticket = self.issue_ticket(now, slot);
        Success::Refreshed { lifetime, ticket }
    }
}
