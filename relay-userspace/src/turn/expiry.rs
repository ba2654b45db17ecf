//! How things end: on time, by the client or by the operator. Sessions go first, then the relayed address.

use std::net::IpAddr;

use super::allocation::Allocation;
use super::command::{Command, Family};
use super::counters::Counter;
use super::identity::{AllocationId, FiveTuple, Now};
use super::server::Server;
use super::table::Slot;
use super::timer::Timer;
use crate::events::{Change, Reason};

impl Server {
    /// Ends what is due.
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some((_, timer)) = self.timers.pop_due(now.mono) {
            match timer {
                Timer::Allocation(slot) => {
                    // Put back for the common path to cancel.
                    self.timers.set(self.table[slot].expires, timer);
                    self.end_allocation(slot, self.expiry_of(now, slot));
                    self.counters.bump(Counter::AllocationsExpired);
                }
                Timer::Permission(slot, peer) => {
                    self.tell_permission(slot, peer, (Change::Ended, Some(Reason::Expired)));
                    self.table[slot].permissions.remove(&peer);
                    self.settle(slot);
                    self.note_peer(slot, peer, false);
                }
                Timer::Channel(slot, number) => self.end_channel(slot, number),
                Timer::Connection(connection) => self.connection_due(connection),
                Timer::Former(slot) => self.former_due(slot),
                Timer::Farewell(tuple) => {
                    self.farewells.forget(tuple);
                }
            }
        }
    }

    /// Ends an allocation on the operator's order. False when there is none of this id.
    pub fn kill(&mut self, id: AllocationId, why: Reason) -> bool {
        let Some(slot) = self.table.of_id(id) else {
            return false;
        };
        self.end_allocation(slot, why);
        self.counters.bump(Counter::AllocationsKilled);
        true
    }

    /// The client's connection is gone, and with it its allocation (RFC 8656 §3.1), unless that is mobile.
    pub fn client_gone(&mut self, tuple: FiveTuple) {
        self.waiting.forget(tuple);
        self.forget_farewell(tuple);
        self.forget_joining(&tuple);
        self.forget_former_at(tuple);
        let slot = self.table.of_client(&tuple);
        // A mobile one waits for its client to come back by another path (RFC 8016), as long as its lifetime.
        if let Some(slot) = slot.filter(|slot| self.table[*slot].mobility.is_none()) {
            self.end_allocation(slot, Reason::Disconnected);
            self.counters.bump(Counter::AllocationsDisconnected);
        }
    }

    /// A new connection. Whoever had one of this 5-tuple, and waits to come back, was another behind the same NAT: nothing
    /// of what its peers send is for this one.
    pub fn client_came(&mut self, tuple: FiveTuple) {
        self.forget_former_at(tuple);
        if let Some(slot) = self.table.of_client(&tuple) {
            self.end_allocation(slot, Reason::Replaced);
            self.counters.bump(Counter::AllocationsDisconnected);
        }
    }

    pub(super) fn end_allocation(&mut self, slot: Slot, why: Reason) {
        self.end_connections(slot, why);
        let ended = self.drop_allocation(slot);
        self.tell_end(&ended, why);
        self.changed.insert(ended.id);
        let mut sessions: Vec<_> = ended
            .channels
            .iter()
            .filter_map(|(_, channel)| channel.session)
            .collect();
        sessions.sort_unstable();
        for session in sessions {
            self.commands.push_back(Command::RemoveSession { session });
        }
        for relayed in ended.held.iter() {
            self.commands.push_back(Command::ReleaseRelay {
                allocation: ended.id,
                relayed,
            });
        }
        // Else the quota, which counts allocations, would not bound the ports one user keeps from all others.
        if let Some(token) = ended.granted.token {
            self.commands
                .push_back(Command::CancelReservation { token });
        }
    }

    /// Ends one relayed address of two, and what passes by it.
    pub(super) fn end_family(&mut self, slot: Slot, family: Family) {
        let told = (Change::Ended, Some(Reason::FamilyEnded));
        let allocation = &mut self.table[slot];
        let of_family = |peer: IpAddr| Family::of(peer) == family;
        let permissions: Vec<_> = allocation
            .permissions
            .extract_if(|peer, _| of_family(*peer))
            .collect();
        let mut numbers: Vec<_> = allocation
            .channels
            .iter()
            .filter(|(_, channel)| of_family(channel.peer.ip()))
            .map(|(number, channel)| (number, *channel))
            .collect();
        numbers.sort_unstable_by_key(|(number, _)| *number);
        for (peer, expires) in permissions {
            self.tell_permission(slot, peer, told);
            self.note_peer(slot, peer, false);
            self.timers.cancel(expires, Timer::Permission(slot, peer));
        }
        for (number, channel) in numbers {
            self.tell_channel(slot, number, told);
            self.table[slot].channels.remove(number);
            self.timers
                .cancel(channel.due(), Timer::Channel(slot, number));
            if let Some(session) = channel.session {
                self.commands.push_back(Command::RemoveSession { session });
            }
        }
        self.settle(slot);
        let allocation = self.table[slot].id;
        if let Some(relayed) = self.table.remove_relayed(slot, family) {
            self.commands.push_back(Command::ReleaseRelay {
                allocation,
                relayed,
            });
        }
        self.tell_allocation(slot, Change::Changed, told.1);
    }

    /// Takes an allocation and its timers out, and orders nothing.
    pub(super) fn drop_allocation(&mut self, slot: Slot) -> Allocation {
        let dropped = self.take_out(slot);
        self.part_from(&dropped);
        dropped
    }

    /// The same of one that goes on elsewhere: its client and its peers stay known.
    pub(super) fn take_out(&mut self, slot: Slot) -> Allocation {
        self.forget_former(slot);
        let dropped = self.table.remove(slot);
        self.config.shared.left(dropped.id);
        self.timers.cancel(dropped.expires, Timer::Allocation(slot));
        for (peer, expires) in &dropped.permissions {
            self.timers.cancel(*expires, Timer::Permission(slot, *peer));
        }
        for (number, channel) in dropped.channels.iter() {
            self.timers
                .cancel(channel.due(), Timer::Channel(slot, number));
        }
        dropped
    }

    /// A running channel goes into quarantine; a quarantined one is forgotten.
    fn end_channel(&mut self, slot: Slot, number: u16) {
        self.tell_channel(slot, number, (Change::Ended, Some(Reason::Expired)));
        let channels = &mut self.table[slot].channels;
        let Some(channel) = channels.get_mut(number) else {
            return;
        };
        let Some(session) = channel.session.take() else {
            channels.remove(number);
            self.settle(slot);
            return;
        };
        let quarantine = channel.due();
        self.timers.set(quarantine, Timer::Channel(slot, number));
        self.counters.bump(Counter::ChannelsExpired);
        self.commands.push_back(Command::RemoveSession { session });
    }

    /// Tells the driver which deadlines of an allocation's sessions have moved.
    pub(super) fn tell_deadlines(&mut self, slot: Slot) {
        let allocation = &self.table[slot];
        let mut moved: Vec<_> = allocation
            .channels
            .iter()
            .map(|(number, channel)| {
                let deadlines = allocation.deadlines(channel.peer, channel.expires);
                (channel, number, deadlines)
            })
            .filter(|(channel, _, deadlines)| channel.told != *deadlines)
            .filter_map(|(channel, number, deadlines)| Some((channel.session?, number, deadlines)))
            .collect();
        moved.sort_unstable();
        for (session, number, told) in moved {
            if let Some(channel) = self.table[slot].channels.get_mut(number) {
                channel.told = told;
            }
            self.commands.push_back(Command::ExtendSession {
                session,
                near_deadline: told.0,
                far_deadline: told.1,
            });
        }
    }
}
