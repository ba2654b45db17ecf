//! TCP allocations (RFC 6062): which peer connections there are, who may have them, until when they wait. Moves no byte.
//!
//! A peer connection belongs to the worker of its allocation; the client's data connection may be any worker's, which asks.

mod connections;
mod joining;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite as _, MessageWriteExt as _, MessageWriteVec,
};
use turn_types::attribute::{ConnectionId as IdAttribute, XorPeerAddress};
use turn_types::message::CONNECTION_ATTEMPT;

use super::answer::{self, Reject, Success};
use super::auth::User;
use super::command::Command;
use super::counters::Counter;
use super::identity::{FiveTuple, Now};
use super::message::{Origin, required};
use super::server::Server;
use super::table::Slot;
use super::timer::Timer;
use crate::events::{Change, Reason};
pub(super) use connections::PeerConnections;
use connections::{PeerConnection, State};
pub use joining::{Pending, Unbindable};

/// RFC 6062 §5.2 and §5.3: for a peer to accept, and for the client to bind.
const PATIENCE: Duration = Duration::from_secs(30);

/// Names a peer connection to its client (RFC 6062 §6.2.1). Says which worker has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

impl Server {
    /// Connect (RFC 6062 §5.2): answered when the driver has connected.
    pub(super) fn connect(
        &mut self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User,
    ) -> Result<Option<Success>, Reject> {
        let slot = self.own_allocation(from, user)?;
        if !self.table[slot].tcp {
            return Err(Reject::BadRequest);
        }
        let named = required::<XorPeerAddress>(message)?.addr(message.transaction_id());
        let peer = self.config.advertise.inward(named);
        self.judge_family(slot, peer)?;
        if let Some(known) = self.connections.to(slot, peer) {
            if let State::Connecting(origin, _) = known.state
                && origin.transaction == message.transaction_id()
            {
                self.counters.bump(Counter::PendingDropped);
                return Ok(None);
            }
            return Err(Reject::ConnectionExists);
        }
        if let Err(refusal) = self.config.policy.check_stream(named) {
            self.note_refusal(now, from.client, &user.name, &refusal);
            return Err(Reject::Forbidden);
        }
        if !self.has_room(slot) {
            return Err(Reject::InsufficientCapacity);
        }
        let Some(relayed) = self.table[slot].held.facing(peer.ip()) else {
            return Err(Reject::PeerFamilyMismatch);
        };
        let until = now.mono + PATIENCE;
        let state = State::Connecting(Origin::of(message), until);
        let connection = self.add_connection(slot, peer, state);
        self.commands.push_back(Command::OpenPeerConnection {
            connection,
            relayed,
            peer,
        });
        Ok(None)
    }

    /// The driver's answer to [`Command::OpenPeerConnection`].
    pub fn peer_connected(&mut self, now: Now, connection: ConnectionId, connected: bool) {
        let Some(known) = self.connections.get_mut(connection) else {
            // It ended meanwhile.
            if connected {
                self.commands
                    .push_back(Command::ClosePeerConnection { connection });
            }
            return;
        };
        let State::Connecting(origin, until) = known.state else {
            return;
        };
        if !connected {
            return self.fail_connecting(connection);
        }
        let waits = now.mono + PATIENCE;
        known.state = State::Unbound(waits);
        let (slot, peer) = (known.slot, known.peer);
        let allocation = &self.table[slot];
        let success = Success::Connected { connection };
        let bytes = answer::success(origin, &success, Some(&allocation.key));
        let to = allocation.tuple;
        self.timers
            .reset(until, waits, Timer::Connection(connection));
        self.tell_connection(slot, (connection, peer), (Change::Created, None));
        self.counters.bump(Counter::ConnectionsOpened);
        self.send(to, bytes);
    }

    /// A peer has connected to `relayed`. `None`: nobody wants it, close it.
    pub fn peer_arrived(
        &mut self,
        now: Now,
        relayed: SocketAddr,
        peer: SocketAddr,
    ) -> Option<ConnectionId> {
        let slot = self.table.of_relayed(relayed)?;
        let allocation = &self.table[slot];
        let wanted = allocation.expires > now.mono && allocation.permits(peer.ip(), now.mono);
        if !wanted || !self.has_room(slot) || !self.has_room_for(slot, peer.ip()) {
            self.counters.bump(Counter::ConnectionsRefused);
            return None;
        }
        let to = allocation.tuple;
        let state = State::Unbound(now.mono + PATIENCE);
        let connection = self.add_connection(slot, peer, state);
        let named = self.config.advertise.outward(peer);
        let bytes = attempt(self.tokens.transaction(), connection, named);
        self.tell_connection(slot, (connection, peer), (Change::Created, None));
        self.counters.bump(Counter::ConnectionsAccepted);
        self.send(to, bytes);
        Some(connection)
    }

    /// Either side of a connection is gone.
    pub fn peer_gone(&mut self, connection: ConnectionId) {
        self.drop_connection(connection, Reason::Closed);
    }

    pub(super) fn connection_due(&mut self, connection: ConnectionId) {
        let Some(known) = self.connections.get(connection) else {
            return;
        };
        if let Some(due) = known.state.due() {
            // Put back for the common path to cancel.
            self.timers.set(due, Timer::Connection(connection));
        }
        if let State::Connecting(..) = known.state {
            self.fail_connecting(connection);
        } else {
            self.drop_connection(connection, Reason::Expired);
        }
        self.commands
            .push_back(Command::ClosePeerConnection { connection });
    }

    pub(super) fn end_connections(&mut self, slot: Slot, why: Reason) {
        for connection in self.connections.ids_of(slot) {
            self.drop_connection(connection, why);
            self.commands
                .push_back(Command::ClosePeerConnection { connection });
        }
    }

    fn fail_connecting(&mut self, connection: ConnectionId) {
        let Some(failed) = self.drop_connection(connection, Reason::Closed) else {
            return;
        };
        if let State::Connecting(origin, _) = failed.state {
            let allocation = &self.table[failed.slot];
            let reject = Reject::ConnectionFailed;
            self.counters.bump(reject.counter());
            let bytes = answer::error(origin, &reject, &allocation.key);
            let to = allocation.tuple;
            self.send(to, bytes);
        }
    }

    /// Else one user's connections, as many as its allocations times what each may have, would take the files of all.
    fn has_room(&self, slot: Slot) -> bool {
        let limits = &self.config.limits;
        let user = self.table[slot].place.user();
        self.connections.of_allocation(slot) < limits.channels_per_allocation
            && self.connections.of_user(user) < limits.allocations_per_user
    }

    /// Else one peer that connects again and again would leave no room for others, and for what the client opens.
    fn has_room_for(&self, slot: Slot, peer: IpAddr) -> bool {
        let most = self.config.limits.channels_per_allocation.div_ceil(4);
        self.connections.of_peer(slot, peer) < most
    }

    fn add_connection(&mut self, slot: Slot, peer: SocketAddr, state: State) -> ConnectionId {
        let due = state.due();
        let added = PeerConnection {
            slot,
            peer,
            user: self.table[slot].place.user().into(),
            state,
        };
        let worker = (
            self.config.worker_index as u32,
            self.config.worker_count as u32,
        );
        let connection = self.connections.add(added, worker);
        if let Some(due) = due {
            self.timers.set(due, Timer::Connection(connection));
        }
        connection
    }

    fn drop_connection(&mut self, connection: ConnectionId, why: Reason) -> Option<PeerConnection> {
        let dropped = self.connections.remove(connection)?;
        if !matches!(dropped.state, State::Connecting(..)) {
            let (slot, peer) = (dropped.slot, dropped.peer);
            self.tell_connection(slot, (connection, peer), (Change::Ended, Some(why)));
        }
        if let Some(due) = dropped.state.due() {
            self.timers.cancel(due, Timer::Connection(connection));
        }
        Some(dropped)
    }
}

fn attempt(transaction: u128, connection: ConnectionId, peer: SocketAddr) -> Vec<u8> {
    let kind = MessageType::from_class_method(MessageClass::Indication, CONNECTION_ATTEMPT);
    let mut message = Message::builder(kind, transaction.into(), MessageWriteVec::new());
    let transaction = message.transaction_id();
    let written = message
        .add_attribute(&IdAttribute::new(connection.0))
        .and_then(|()| message.add_attribute(&XorPeerAddress::new(peer, transaction)));
    debug_assert!(written.is_ok(), "an empty message takes attributes");
    message.finish()
}
