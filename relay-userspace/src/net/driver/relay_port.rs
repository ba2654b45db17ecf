//! The socket of one relayed transport address and what went through it, by channel. Counts, never decides.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use foldhash::quality::RandomState;
use tokio::task::AbortHandle;

use super::super::ports::Bound;
use super::super::socket::Socket;
use crate::police::Pass;
use crate::tally::Tally;
use crate::turn::AllocationId;

/// What userspace relayed of a session.
#[derive(Debug, Clone, Copy, Default)]
pub struct Share {
    pub to_peer: Tally,
    pub to_client: Tally,
    /// Packets over a limit: from the client, and to it.
    pub refused: [u64; 2],
    /// When its channel was bound.
    pub since: Option<Instant>,
}

/// A share and the limits it is held to.
pub struct Held {
    pub share: Share,
    pass: Pass,
}

impl Held {
    /// Whether a packet from ([`UP`](crate::police::UP)) or to the client may go on; counted if it may not.
    pub fn admits(&mut self, direction: usize, now: Instant, bytes: usize) -> bool {
        let admitted = self.pass.admits(direction, now, bytes);
        self.share.refused[direction] += u64::from(!admitted);
        admitted
    }
}

/// Dropping it ends the receive task, and with that the socket.
pub struct RelayPort {
    pub allocation: AllocationId,
    pub socket: Rc<Socket>,
    books: Books,
    _task: Task,
}

struct Task(AbortHandle);

/// What userspace relayed by one relayed address, and what it may.
pub struct Books {
    /// Whose it is.
    user: Arc<str>,
    /// Peers with a channel: bounded by the channels of the allocation.
    channels: HashMap<SocketAddr, Held, RandomState>,
    other: Held,
}

impl RelayPort {
    pub fn new(
        allocation: AllocationId,
        socket: Rc<Socket>,
        task: AbortHandle,
        books: Books,
    ) -> RelayPort {
        RelayPort {
            allocation,
            socket,
            books,
            _task: Task(task),
        }
    }

    /// For another worker. Nothing is received here any more.
    pub fn hand_over(self) -> std::io::Result<(Bound, Books)> {
        drop(self._task);
        Ok((self.socket.hand_over()?, self.books))
    }

    pub fn user(&self) -> &str {
        &self.books.user
    }

    pub fn channel_bound(&mut self, peer: SocketAddr, now: Instant, pass: Pass) {
        let share = Share {
            since: Some(now),
            ..Share::default()
        };
        self.books.channels.insert(peer, Held { share, pass });
    }

    pub fn channel_gone(&mut self, peer: SocketAddr) {
        self.books.channels.remove(&peer);
    }

    /// The socket, and what goes between the client and this peer.
    pub fn with(&mut self, peer: SocketAddr) -> (&Rc<Socket>, &mut Held) {
        (&self.socket, self.books.of(peer))
    }

    pub fn share(&self, peer: Option<SocketAddr>) -> Share {
        let Books {
            channels, other, ..
        } = &self.books;
        match peer {
            Some(peer) => channels
                .get(&peer)
                .map(|held| held.share)
                .unwrap_or_default(),
            None => other.share,
        }
    }
}

impl Books {
    /// `pass`: of what goes outside the channels.
    pub fn new(user: Arc<str>, pass: Pass) -> Books {
        Books {
            user,
            channels: HashMap::default(),
            other: Held {
                share: Share::default(),
                pass,
            },
        }
    }

    fn of(&mut self, peer: SocketAddr) -> &mut Held {
        self.channels.get_mut(&peer).unwrap_or(&mut self.other)
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
