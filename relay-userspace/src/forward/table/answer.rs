//! What the table says about datagrams and sessions, in types. Data only.

use std::net::SocketAddr;
use std::time::Instant;

use crate::fastpath::{SessionId, SessionSpec};
use crate::icmp::IcmpError;

/// One client as a worker sees it: the same host on another address of ours is another client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Client {
    pub remote: SocketAddr,
    pub server: SocketAddr,
}

/// What to do with a client's datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Relay {
        session: SessionId,
        destination: SocketAddr,
    },
    /// Bind a relay port, then call `opened` or `not_opened`.
    Open(Opening),
    Refused(Refusal),
}

/// A session that waits for its relay port. Holds one place of `max_sessions`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opening {
    pub client: Client,
    pub destination: SocketAddr,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Not in the allow list.
    Allow,
    /// `max_sessions` of the forward are open.
    Full,
    /// Its source prefix opens sessions too fast.
    Rate,
    /// The destination has no address now.
    NoTarget,
    /// The relay begins nothing new.
    Draining,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    Install {
        session: SessionId,
        spec: SessionSpec,
    },
    Extend {
        session: SessionId,
        deadline: Instant,
    },
    /// From the kernel first, then its socket.
    Remove { session: SessionId },
}

/// Why a datagram at a relay port is not relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unheard {
    Expired,
    NotTheDestination,
}

/// What went wrong last on the way to a destination, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trouble {
    pub error: IcmpError,
    pub at: Instant,
}
