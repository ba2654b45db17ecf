//! The socket of one relayed transport address and what went through it, by channel. Counts, never decides.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::AbortHandle;

use super::super::socket::Socket;
use crate::meter::Meter;
use crate::police::Pass;
use crate::turn::AllocationId;

/// What userspace relayed of a session.
#[derive(Debug, Clone, Copy, Default)]
pub struct Share {
    pub to_peer: Meter,
    pub to_client: Meter,
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

/// Dropping it ends the receive task, and with that the socket.
pub struct RelayPort {
    pub allocation: AllocationId,
    /// Whose it is.
    pub user: Arc<str>,
    pub socket: Rc<Socket>,
    task: AbortHandle,
    /// Peers with a channel: bounded by the channels of the allocation.
    channels: HashMap<SocketAddr, Held>,
    other: Held,
}

impl RelayPort {
    /// `pass`: of what goes outside its channels.
    pub fn new(
        allocation: AllocationId,
        user: Arc<str>,
        pass: Pass,
        socket: Rc<Socket>,
        task: AbortHandle,
    ) -> RelayPort {
        RelayPort {
            allocation,
            user,
            socket,
            task,
            channels: HashMap::new(),
            other: Held {
                share: Share::default(),
                pass,
            },
        }
    }

    pub fn channel_bound(&mut self, peer: SocketAddr, now: Instant, pass: Pass) {
        let share = Share {
            since: Some(now),
            ..Share::default()
        };
        self.channels.insert(peer, Held { share, pass });
    }

    /// Whether a packet from ([`UP`](crate::police::UP)) or to the client may go on; counted if it may not.
    pub fn admits(
        &mut self,
        direction: usize,
        now: Instant,
        peer: SocketAddr,
        bytes: usize,
    ) -> bool {
        let held = self.channels.get_mut(&peer).unwrap_or(&mut self.other);
        let admitted = held.pass.admits(direction, now, bytes);
        held.share.refused[direction] += u64::from(!admitted);
        admitted
    }

    pub fn channel_gone(&mut self, peer: SocketAddr) {
        self.channels.remove(&peer);
    }

    pub fn count_to_peer(&mut self, now: Instant, peer: SocketAddr, bytes: usize) {
        let held = self.channels.get_mut(&peer).unwrap_or(&mut self.other);
        held.share.to_peer.count(now, bytes);
    }

    pub fn count_to_client(&mut self, now: Instant, peer: SocketAddr, bytes: usize) {
        let held = self.channels.get_mut(&peer).unwrap_or(&mut self.other);
        held.share.to_client.count(now, bytes);
    }

    pub fn share(&self, peer: Option<SocketAddr>) -> Share {
        match peer {
            Some(peer) => self
                .channels
                .get(&peer)
                .map(|held| held.share)
                .unwrap_or_default(),
            None => self.other.share,
        }
    }
}

impl Drop for RelayPort {
    fn drop(&mut self) {
        self.task.abort();
    }
}
