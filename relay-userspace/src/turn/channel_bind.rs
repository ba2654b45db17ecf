//! ChannelBind (RFC 8656 §12.2): binds a number to a peer, or refreshes the binding; the one place sessions begin.

use std::net::SocketAddr;
use std::time::Instant;

use stun_types::message::Message;
use turn_types::attribute::{ChannelNumber, XorPeerAddress};

use super::answer::{Reject, Success};
use super::auth::User;
use super::channel::{self, Channel};
use super::command::Command;
use super::counters::Counter;
use super::identity::{FiveTuple, Now};
use super::message::required;
use super::server::Server;
use super::table::Slot;
use super::timer::Timer;
use crate::events::{Change, Reason};

impl Server {
    pub(super) fn channel_bind(
        &mut self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User,
    ) -> Result<Option<Success>, Reject> {
        let slot = self.own_allocation(from, user)?;
        if self.table[slot].tcp {
            return Err(Reject::BadRequest);
        }
        let number = required::<ChannelNumber>(message)?.channel();
        let named = required::<XorPeerAddress>(message)?.addr(message.transaction_id());
        let peer = self.config.advertise.inward(named);
        if !channel::NUMBERS.contains(&number) || !self.table[slot].channels.may_bind(number, peer)
        {
            return Err(Reject::BadRequest);
        }
        self.judge_family(slot, peer)?;
        if let Err(refusal) = self.config.policy.check(named) {
            self.note_refusal(now, from.client, &user.name, &refusal);
            return Err(Reject::Forbidden);
        }
        let channels = &self.table[slot].channels;
        let known = channels.get(number).is_some();
        if !known && channels.len() >= self.config.limits.channels_per_allocation {
            return Err(Reject::InsufficientCapacity);
        }
        self.take_room(slot, usize::from(!known), std::iter::once(peer.ip()))?;

        self.permit(now, slot, peer.ip());
        let expires = now.mono + channel::LIFETIME;
        let running = self.table[slot]
            .channels
            .get(number)
            .is_some_and(|c| c.session.is_some());
        if running {
            self.prolong(slot, number, expires);
        } else {
            self.begin(slot, number, peer, expires);
        }
        self.tell_deadlines(slot);
        Ok(Some(Success::Bound))
    }

    fn prolong(&mut self, slot: Slot, number: u16, expires: Instant) {
        let Some(channel) = self.table[slot].channels.get_mut(number) else {
            return;
        };
        let before = std::mem::replace(&mut channel.expires, expires);
        self.timers
            .reset(before, expires, Timer::Channel(slot, number));
        self.tell_channel(slot, number, (Change::Changed, Some(Reason::Refreshed)));
        self.counters.bump(Counter::ChannelsRefreshed);
    }

    /// Binds a free number, or one whose quarantine was for this very peer.
    fn begin(&mut self, slot: Slot, number: u16, peer: SocketAddr, expires: Instant) {
        let Some(relayed) = self.table[slot].held.facing(peer.ip()) else {
            return;
        };
        let timer = Timer::Channel(slot, number);
        if let Some(quarantined) = self.table[slot].channels.get(number) {
            self.timers.cancel(quarantined.due(), timer);
        }
        let session = self.ids.session();
        let allocation = &mut self.table[slot];
        let told = allocation.deadlines(peer, expires);
        let channel = Channel {
            peer,
            session: Some(session),
            expires,
            told,
        };
        let command = Command::InstallSession {
            session,
            allocation: allocation.id,
            transport: allocation.tuple.transport,
            spec: allocation.spec(number, &channel, relayed),
        };
        allocation.channels.insert(number, channel);
        self.timers.set(expires, timer);
        self.tell_channel(slot, number, (Change::Created, None));
        self.counters.bump(Counter::ChannelsBound);
        self.commands.push_back(command);
    }
}
