//! What happened, as facts for whoever listens. Decides nothing; nothing here depends on whether somebody does.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::allocation::Allocation;
use super::channel::Channel;
use super::server::Server;
use super::table::Slot;
use super::tcp::ConnectionId;
use crate::events::{Change, Event, Fact, Peer, Reason, What};

impl Server {
    /// What happened since the last call, oldest first.
    pub fn take_facts(&mut self) -> Vec<Fact> {
        std::mem::take(&mut self.facts)
    }

    pub(super) fn tell_allocation(&mut self, slot: Slot, change: Change, reason: Option<Reason>) {
        let fact = of_allocation(&self.table[slot], change, reason);
        self.facts.push(fact);
    }

    pub(super) fn tell_permission(
        &mut self,
        slot: Slot,
        peer: IpAddr,
        (change, reason): (Change, Option<Reason>),
    ) {
        let allocation = &self.table[slot];
        let until = allocation.permissions.get(&peer).copied();
        let fact = of_permission(allocation, peer, until, change, reason);
        self.facts.push(fact);
    }

    /// A channel that relays, or did until now.
    pub(super) fn tell_channel(
        &mut self,
        slot: Slot,
        number: u16,
        (change, reason): (Change, Option<Reason>),
    ) {
        let allocation = &self.table[slot];
        let channel = allocation.channels.get(number);
        let fact = channel.and_then(|one| of_channel(allocation, number, one, change, reason));
        self.facts.extend(fact);
    }

    pub(super) fn tell_connection(
        &mut self,
        slot: Slot,
        (id, peer): (ConnectionId, SocketAddr),
        (change, reason): (Change, Option<Reason>),
    ) {
        let allocation = &self.table[slot];
        let event = Event {
            id: Some(id.0.into()),
            peer: Some(Peer::Port(peer)),
            ..part(allocation, What::Connection, change, reason)
        };
        self.facts.push(Fact {
            event,
            since: None,
            until: None,
        });
    }

    /// An allocation is no longer in the table; with it ended all that was its own.
    pub(super) fn tell_end(&mut self, ended: &Allocation, reason: Reason) {
        if ended.relayed().is_none() {
            return;
        }
        let (change, why) = (Change::Ended, Some(reason));
        let mut channels: Vec<_> = ended.channels.iter().collect();
        channels.sort_unstable_by_key(|(number, _)| *number);
        let channels = channels.into_iter();
        let facts =
            channels.filter_map(|(number, one)| of_channel(ended, number, one, change, why));
        self.facts.extend(facts);
        let mut peers: Vec<_> = ended.permissions.keys().copied().collect();
        peers.sort_unstable();
        for peer in peers {
            let fact = of_permission(ended, peer, None, change, why);
            self.facts.push(fact);
        }
        self.facts.push(of_allocation(ended, change, why));
    }
}

fn of_allocation(allocation: &Allocation, change: Change, reason: Option<Reason>) -> Fact {
    let ended = change == Change::Ended;
    Fact {
        event: Event {
            id: Some(allocation.id.0),
            server: Some(allocation.tuple.server),
            relayed: allocation.held.iter().collect(),
            reason,
            allocation: None,
            ..part(allocation, What::Allocation, change, reason)
        },
        since: ended.then_some(allocation.created),
        until: (!ended).then_some(allocation.expires),
    }
}

fn of_permission(
    allocation: &Allocation,
    peer: IpAddr,
    until: Option<Instant>,
    change: Change,
    reason: Option<Reason>,
) -> Fact {
    Fact {
        event: Event {
            peer: Some(Peer::Host(peer)),
            ..part(allocation, What::Permission, change, reason)
        },
        since: None,
        until: until.filter(|_| change != Change::Ended),
    }
}

/// `None`: it relays nothing since its end was told.
fn of_channel(
    allocation: &Allocation,
    number: u16,
    channel: &Channel,
    change: Change,
    reason: Option<Reason>,
) -> Option<Fact> {
    let session = channel.session?;
    Some(Fact {
        event: Event {
            id: Some(session.0),
            channel: Some(number),
            peer: Some(Peer::Port(channel.peer)),
            relayed: allocation
                .held
                .facing(channel.peer.ip())
                .into_iter()
                .collect(),
            ..part(allocation, What::Channel, change, reason)
        },
        since: None,
        until: (change != Change::Ended).then_some(channel.expires),
    })
}

/// Whose it is.
fn part(allocation: &Allocation, what: What, change: Change, reason: Option<Reason>) -> Event {
    Event {
        allocation: Some(allocation.id.0),
        user: Some(allocation.place.user().to_owned()),
        client: Some(allocation.tuple.client),
        transport: Some(allocation.tuple.transport),
        reason,
        ..Event::new(what, change)
    }
}
