//! The peer connections of one worker, found by id, by allocation and by peer, and counted. Nothing is looked through to
//! find or count: whoever comes along has it done. Decides nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Instant;

use super::ConnectionId;
use crate::turn::identity::FiveTuple;
use crate::turn::message::Origin;
use crate::turn::table::Slot;

#[derive(Debug)]
pub(in crate::turn) struct PeerConnection {
    pub slot: Slot,
    pub peer: SocketAddr,
    /// Whose allocation it is.
    pub user: Arc<str>,
    pub state: State,
}

#[derive(Debug)]
pub(in crate::turn) enum State {
    /// The driver connects; the request waits.
    Connecting(Origin, Instant),
    /// For a ConnectionBind.
    Unbound(Instant),
    Bound,
}

impl PeerConnection {
    fn way(&self, id: ConnectionId) -> Way {
        (self.slot, self.peer.ip(), self.peer.port(), id)
    }
}

impl State {
    pub fn due(&self) -> Option<Instant> {
        match self {
            Self::Connecting(_, until) | Self::Unbound(until) => Some(*until),
            Self::Bound => None,
        }
    }
}

#[derive(Debug, Default)]
pub(in crate::turn) struct PeerConnections {
    by_id: BTreeMap<ConnectionId, PeerConnection>,
    /// A peer that was gone for a while may be here twice by the same port.
    by_peer: BTreeSet<Way>,
    per_allocation: HashMap<Slot, usize>,
    per_user: HashMap<Arc<str>, usize>,
    /// Data connections that have, or wait for, a peer connection: of whichever worker that is.
    pub joining: BTreeSet<FiveTuple>,
    drawn: u32,
}

impl PeerConnections {
    pub fn get(&self, connection: ConnectionId) -> Option<&PeerConnection> {
        self.by_id.get(&connection)
    }

    /// Its state may be changed.
    pub fn get_mut(&mut self, connection: ConnectionId) -> Option<&mut PeerConnection> {
        self.by_id.get_mut(&connection)
    }

    pub fn to(&self, slot: Slot, peer: SocketAddr) -> Option<&PeerConnection> {
        let peer = (peer.ip(), peer.port());
        let (.., connection) = self.by_peer.range(between(slot, peer, peer)).next()?;
        self.get(*connection)
    }

    pub fn ids_of(&self, slot: Slot) -> Vec<ConnectionId> {
        let (first, last) = ([0u8; 4].into(), [u8::MAX; 16].into());
        let all = between(slot, (first, 0), (last, u16::MAX));
        self.by_peer.range(all).map(|(.., id)| *id).collect()
    }

    pub fn of_allocation(&self, slot: Slot) -> usize {
        self.per_allocation.get(&slot).copied().unwrap_or_default()
    }

    pub fn of_user(&self, user: &str) -> usize {
        self.per_user.get(user).copied().unwrap_or_default()
    }

    pub fn of_peer(&self, slot: Slot, peer: IpAddr) -> usize {
        let ports = between(slot, (peer, 0), (peer, u16::MAX));
        self.by_peer.range(ports).count()
    }

    /// Under a name not in use that says whose it is: of the worker `index` of `count`.
    pub fn add(&mut self, added: PeerConnection, worker: (u32, u32)) -> ConnectionId {
        let connection = self.draw(worker);
        self.by_peer.insert(added.way(connection));
        *self.per_allocation.entry(added.slot).or_default() += 1;
        *self.per_user.entry(Arc::clone(&added.user)).or_default() += 1;
        self.by_id.insert(connection, added);
        connection
    }

    pub fn remove(&mut self, connection: ConnectionId) -> Option<PeerConnection> {
        let removed = self.by_id.remove(&connection)?;
        self.by_peer.remove(&removed.way(connection));
        one_less(&mut self.per_allocation, &removed.slot);
        one_less(&mut self.per_user, &removed.user);
        Some(removed)
    }

    fn draw(&mut self, (index, count): (u32, u32)) -> ConnectionId {
        loop {
            self.drawn = self.drawn.wrapping_add(1) % (u32::MAX / count);
            let id = ConnectionId(self.drawn * count + index);
            if !self.by_id.contains_key(&id) {
                return id;
            }
        }
    }

    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.by_id.len()
    }

    /// What is kept to find and to count them.
    #[cfg(test)]
    pub fn indexed(&self) -> [usize; 3] {
        let sum = |counts: &mut dyn Iterator<Item = &usize>| counts.sum();
        [
            self.by_peer.len(),
            sum(&mut self.per_allocation.values()),
            sum(&mut self.per_user.values()),
        ]
    }

    #[cfg(test)]
    pub fn timers(&self) -> usize {
        let due = |connection: &&PeerConnection| connection.state.due().is_some();
        self.by_id.values().filter(due).count()
    }
}

/// Of an allocation, to a peer's address and port.
type Way = (Slot, IpAddr, u16, ConnectionId);

fn between(slot: Slot, first: (IpAddr, u16), last: (IpAddr, u16)) -> RangeInclusive<Way> {
    let least = (slot, first.0, first.1, ConnectionId(0));
    least..=(slot, last.0, last.1, ConnectionId(u32::MAX))
}

fn one_less<K: Eq + std::hash::Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}
