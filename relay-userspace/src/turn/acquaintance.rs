//! Whom this server knows: clients that own an allocation, and the peers they permitted. Told to whoever drops the
//! packets of strangers.

use std::net::{IpAddr, SocketAddr};

use super::allocation::Allocation;
use super::identity::FiveTuple;
use super::server::Server;
use super::table::Slot;

/// Somebody became known, or is no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Acquaintance {
    pub is_known: bool,
    /// Port 0: whatever port it sends from.
    pub remote: SocketAddr,
    /// `None`: where clients talk TURN.
    pub relayed: Option<SocketAddr>,
}

impl Server {
    /// What changed since the last call, oldest first.
    pub fn take_acquaintances(&mut self) -> Vec<Acquaintance> {
        std::mem::take(&mut self.acquaintances)
    }

    /// The client has an allocation: this connection, and whatever else its host begins.
    pub(super) fn meet_client(&mut self, slot: Slot) {
        let client = self.table[slot].tuple.client;
        self.note_client(client, true);
    }

    /// The client has moved, and nothing more is taken from where it was.
    pub(super) fn part_from_path(&mut self, former: FiveTuple) {
        self.note_client(former.client, false);
    }

    pub(super) fn note_peer(&mut self, slot: Slot, peer: IpAddr, is_known: bool) {
        let relayed = self.table[slot].held.facing(peer);
        self.note_peer_of(relayed, peer, is_known);
    }

    fn note_peer_of(&mut self, relayed: Option<SocketAddr>, peer: IpAddr, is_known: bool) {
        self.acquaintances.push(Acquaintance {
            is_known,
            remote: SocketAddr::new(peer, 0),
            relayed,
        });
    }

    pub(super) fn part_from(&mut self, ended: &Allocation) {
        if ended.relayed().is_none() {
            return;
        }
        self.note_client(ended.tuple.client, false);
        for peer in ended.permissions.keys() {
            self.note_peer_of(ended.held.facing(*peer), *peer, false);
        }
    }

    fn note_client(&mut self, client: SocketAddr, is_known: bool) {
        for port in [client.port(), 0] {
            self.acquaintances.push(Acquaintance {
                is_known,
                remote: SocketAddr::new(client.ip(), port),
                relayed: None,
            });
        }
    }
}
