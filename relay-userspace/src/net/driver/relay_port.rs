//! The socket of one relayed transport address and what went through it, by channel. Counts, never decides.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use tokio::task::AbortHandle;

use super::super::ports::Bound;
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
    books: Books,
}

/// What userspace relayed by one relayed address.
#[derive(Debug, Default)]
pub struct Books {
    /// Peers with a channel: bounded by the channels of the allocation.
    channels: HashMap<SocketAddr, Share>,
    other: Share,
}

impl RelayPort {
    pub fn new(allocation: AllocationId, socket: Rc<Socket>, task: AbortHandle) -> RelayPort {
        Self::with_books(allocation, socket, task, Books::default())
    }

    /// Of a port that was another worker's.
    pub fn with_books(
        allocation: AllocationId,
        socket: Rc<Socket>,
        task: AbortHandle,
        books: Books,
    ) -> RelayPort {
        RelayPort {
            allocation,
            socket,
            task,
            books,
        }
    }

    /// For another worker. Nothing is received here any more.
    pub fn hand_over(mut self) -> std::io::Result<(Bound, Books)> {
        self.task.abort();
        Ok((self.socket.hand_over()?, std::mem::take(&mut self.books)))
    }

    pub fn channel_bound(&mut self, peer: SocketAddr, now: Instant) {
        self.books.channels.insert(
            peer,
            Share {
                since: Some(now),
                ..Share::default()
            },
        );
    }

    pub fn channel_gone(&mut self, peer: SocketAddr) {
        self.books.channels.remove(&peer);
    }

    pub fn count_to_peer(&mut self, now: Instant, peer: SocketAddr, bytes: usize) {
        let share = self.books.share_mut(peer);
        share.to_peer.count(now, bytes);
    }

    pub fn count_to_client(&mut self, now: Instant, peer: SocketAddr, bytes: usize) {
        let share = self.books.share_mut(peer);
        share.to_client.count(now, bytes);
    }

    pub fn share(&self, peer: Option<SocketAddr>) -> Share {
        match peer {
            Some(peer) => self.books.channels.get(&peer).copied().unwrap_or_default(),
            None => self.books.other,
        }
    }
}

impl Books {
    fn share_mut(&mut self, peer: SocketAddr) -> &mut Share {
        self.channels.get_mut(&peer).unwrap_or(&mut self.other)
    }
}

impl Drop for RelayPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}
