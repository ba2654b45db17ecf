//! The socket of one relayed transport address and what went through it, by channel. Counts, never decides.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::task::AbortHandle;

use super::super::socket::Socket;
use crate::meter::Meter;
use crate::turn::AllocationId;

/// What userspace relayed of a session.
#[derive(Debug, Clone, Copy, Default)]
pub struct Share {
    pub to_peer: Meter,
    pub to_client: Meter,
    /// When its channel was bound.
    pub since: Option<Instant>,
}

/// Dropping it ends the receive task, and with that the socket.
pub struct RelayPort {
    pub allocation: AllocationId,
    pub socket: Rc<Socket>,
    task: AbortHandle,
    /// Peers with a channel: bounded by the channels of the allocation.
    channels: HashMap<SocketAddr, Share>,
    other: Share,
}

impl RelayPort {
    pub fn new(allocation: AllocationId, socket: Rc<Socket>, task: AbortHandle) -> RelayPort {
        RelayPort {
            allocation,
            socket,
            task,
            channels: HashMap::new(),
            other: Share::default(),
        }
    }

    pub fn channel_bound(&mut self, peer: SocketAddr, now: Instant) {
        self.channels.insert(
            peer,
            Share {
                since: Some(now),
                ..Share::default()
            },
        );
    }

    pub fn channel_gone(&mut self, peer: SocketAddr) {
        self.channels.remove(&peer);
    }

    pub fn count_to_peer(&mut self, now: Instant, peer: SocketAddr, bytes: usize) {
        let share = self.channels.get_mut(&peer).unwrap_or(&mut self.other);
        share.to_peer.count(now, bytes);
    }

    pub fn count_to_client(&mut self, now: Instant, peer: SocketAddr, bytes: usize) {
        let share = self.channels.get_mut(&peer).unwrap_or(&mut self.other);
        share.to_client.count(now, bytes);
    }

    pub fn share(&self, peer: Option<SocketAddr>) -> Share {
        match peer {
            Some(peer) => self.channels.get(&peer).copied().unwrap_or_default(),
            None => self.other,
        }
    }
}

impl Drop for RelayPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}
