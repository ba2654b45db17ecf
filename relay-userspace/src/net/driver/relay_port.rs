//! One relayed transport address, with what went through it, by channel. Counts, never decides.
//!
//! Until its allocation has a permission nobody may send to it: it is a bound socket and nothing else.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use foldhash::quality::RandomState;
use tokio::task::AbortHandle;

use super::super::ports::Bound;
use super::super::receive::{self, Role};
use super::super::socket::Socket;
use super::super::worker::Worker;
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
struct Held {
    share: Share,
    pass: Pass,
}

pub struct RelayPort {
    pub allocation: AllocationId,
    user: Arc<str>,
    ear: Ear,
}

enum Ear {
    /// Boxed: most allocations of a client that gathers candidates are never used.
    Open(Box<Open>),
    Shut(Bound),
    /// Its socket could not be watched.
    Lost,
}

/// Dropping it ends the receive task, and with that the socket.
struct Open {
    socket: Rc<Socket>,
    books: Books,
    _task: Task,
}

struct Task(AbortHandle);

/// What userspace relayed by one relayed address, and what it may.
pub struct Books {
    /// Peers with a channel: bounded by the channels of the allocation.
    channels: HashMap<SocketAddr, Held, RandomState>,
    other: Held,
}

/// A relay port between two workers; without books nobody may send to it yet.
pub struct Moving {
    user: Arc<str>,
    bound: Bound,
    books: Option<Books>,
}

impl Moving {
    pub fn address(&self) -> SocketAddr {
        self.bound.address
    }
}

impl RelayPort {
    pub fn new(allocation: AllocationId, user: Arc<str>, bound: Bound) -> RelayPort {
        RelayPort {
            allocation,
            user,
            ear: Ear::Shut(bound),
        }
    }

    /// Hears peers from now on, and nothing that they sent before. `pass`: of what goes outside the channels.
    pub fn hear(
        &mut self,
        worker: &Rc<Worker>,
        pass: impl FnOnce(&str) -> Pass,
    ) -> std::io::Result<()> {
        if !matches!(self.ear, Ear::Shut(_)) {
            return Ok(());
        }
        if let Ear::Shut(bound) = std::mem::replace(&mut self.ear, Ear::Lost) {
            let socket = Socket::fresh(bound)?;
            self.ear = Ear::Open(Open::new(worker, socket, Books::new(pass(&self.user))));
        }
        Ok(())
    }

    /// For another worker. Nothing is received here any more.
    pub fn hand_over(self) -> std::io::Result<Moving> {
        let (bound, books) = match self.ear {
            Ear::Open(open) => {
                let Open {
                    socket,
                    books,
                    _task,
                } = *open;
                drop(_task);
                (socket.hand_over()?, Some(books))
            }
            Ear::Shut(bound) => (bound, None),
            Ear::Lost => return Err(std::io::ErrorKind::NotConnected.into()),
        };
        Ok(Moving {
            user: self.user,
            bound,
            books,
        })
    }

    /// From another worker, with what is in its queue.
    pub fn arrived(
        worker: &Rc<Worker>,
        allocation: AllocationId,
        moving: Moving,
    ) -> std::io::Result<RelayPort> {
        let ear = match moving.books {
            Some(books) => Ear::Open(Open::new(worker, Socket::of_pool(moving.bound)?, books)),
            None => Ear::Shut(moving.bound),
        };
        Ok(RelayPort {
            allocation,
            user: moving.user,
            ear,
        })
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    /// `None`: nobody is permitted to hear anything from it.
    pub fn socket(&self) -> Option<&Rc<Socket>> {
        match &self.ear {
            Ear::Open(open) => Some(&open.socket),
            Ear::Shut(_) | Ear::Lost => None,
        }
    }

    pub fn channel_bound(&mut self, peer: SocketAddr, now: Instant, pass: Pass) {
        let share = Share {
            since: Some(now),
            ..Share::default()
        };
        if let Some(books) = self.books_mut() {
            books.channels.insert(peer, Held { share, pass });
        }
    }

    pub fn channel_gone(&mut self, peer: SocketAddr) {
        if let Some(books) = self.books_mut() {
            books.channels.remove(&peer);
        }
    }

    /// Whether a packet from ([`UP`](crate::police::UP)) or to the client may go on; counted if it may not.
    pub fn admits(
        &mut self,
        direction: usize,
        now: Instant,
        peer: SocketAddr,
        bytes: usize,
    ) -> bool {
        let Some(books) = self.books_mut() else {
            return false;
        };
        let held = books.of(peer);
        let admitted = held.pass.admits(direction, now, bytes);
        held.share.refused[direction] += u64::from(!admitted);
        admitted
    }

    pub fn count_to_peer(&mut self, now: Instant, peer: SocketAddr, bytes: usize) {
        if let Some(books) = self.books_mut() {
            books.of(peer).share.to_peer.count(now, bytes);
        }
    }

    pub fn count_to_client(&mut self, now: Instant, peer: SocketAddr, bytes: usize) {
        if let Some(books) = self.books_mut() {
            books.of(peer).share.to_client.count(now, bytes);
        }
    }

    pub fn share(&self, peer: Option<SocketAddr>) -> Share {
        let Ear::Open(open) = &self.ear else {
            return Share::default();
        };
        let Books { channels, other } = &open.books;
        match peer {
            Some(peer) => channels
                .get(&peer)
                .map(|held| held.share)
                .unwrap_or_default(),
            None => other.share,
        }
    }

    fn books_mut(&mut self) -> Option<&mut Books> {
        match &mut self.ear {
            Ear::Open(open) => Some(&mut open.books),
            Ear::Shut(_) | Ear::Lost => None,
        }
    }
}

impl Open {
    fn new(worker: &Rc<Worker>, socket: Socket, books: Books) -> Box<Open> {
        let socket = Rc::new(socket);
        let role = Role::RelayPort(socket.local());
        let task = receive::spawn(worker, Rc::clone(&socket), role);
        Box::new(Open {
            socket,
            books,
            _task: Task(task),
        })
    }
}

impl Books {
    fn new(pass: Pass) -> Books {
        Books {
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
