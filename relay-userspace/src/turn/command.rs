//! Every effect the state machine can ask for, and the data it hands to the driver by reference.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::identity::{AllocationId, FiveTuple, Transport};
use super::tcp::{ConnectionId, Pending};
use crate::fastpath::{SessionId, SessionSpec};

/// An order to the driver. Executed strictly in order: a `RemoveSession` before a `Send` is done before the answer leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    Send {
        to: FiveTuple,
        bytes: Vec<u8>,
    },
    /// Bind a relayed transport address and answer with [`super::Server::relay_bound`].
    BindRelay {
        allocation: AllocationId,
        family: Family,
        /// For connections of peers (RFC 6062), not for datagrams.
        tcp: bool,
        /// The address the client contacted: the relayed address when none is configured.
        local_hint: IpAddr,
        port: PortWish,
    },
    /// The client at `from` presented a ticket of an allocation another worker has: ask `home` for it
    /// ([`super::Server::depart`]) and answer with [`super::Server::fetched`].
    FetchAllocation {
        allocation: AllocationId,
        serial: u32,
        home: usize,
        from: FiveTuple,
        request: Vec<u8>,
    },
    /// Nobody knows this user yet: ask about `name`, then answer with [`super::Server::looked_up`].
    LookUp {
        name: String,
        from: FiveTuple,
        request: Vec<u8>,
    },
    /// Connect to `peer` from `relayed` and answer with [`super::Server::peer_connected`].
    OpenPeerConnection {
        connection: ConnectionId,
        relayed: SocketAddr,
        peer: SocketAddr,
    },
    /// However far it is, joined ones as well.
    ClosePeerConnection {
        connection: ConnectionId,
    },
    /// Get the peer connection from the worker `home` ([`super::Server::bind_connection`]), answer with
    /// [`super::Server::connection_joined`], then move bytes.
    JoinConnections {
        connection: ConnectionId,
        home: usize,
        username: String,
        from: FiveTuple,
        origin: Pending,
    },
    ReleaseRelay {
        allocation: AllocationId,
        relayed: SocketAddr,
    },
    /// Give back the port kept under this token, if nobody came for it.
    CancelReservation {
        token: ReservationToken,
    },
    InstallSession {
        session: SessionId,
        allocation: AllocationId,
        /// Of the near leg.
        transport: Transport,
        spec: SessionSpec,
    },
    /// New deadlines, later or earlier than before.
    ExtendSession {
        session: SessionId,
        near_deadline: Instant,
        far_deadline: Instant,
    },
    RemoveSession {
        session: SessionId,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }
}

/// Which port a client wants for its relayed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PortWish {
    Any,
    Even,
    /// An even port; keep the next higher one bound for 30 s under this token, in a table all workers see, unless cancelled.
    EvenWithNext(ReservationToken),
    /// The port kept under this token, of whatever family it is; any worker may have reserved it.
    Reserved(ReservationToken),
}

/// Names a reserved port (RFC 8656 §18.8). Unpredictable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub u64);

/// Why the driver could not bind a relayed address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BindFault {
    #[error("no free port in the relay range")]
    PortsExhausted,
    #[error("no port is reserved under this token")]
    UnknownReservation,
    #[error("no relay address of this family")]
    FamilyUnavailable,
    #[error("the system refused the socket")]
    Refused,
}

/// Data of a client for a peer; leaves from `relayed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ToPeer<'p> {
    pub allocation: AllocationId,
    pub relayed: SocketAddr,
    pub peer: SocketAddr,
    pub data: &'p [u8],
    /// The client asked for the DF bit (RFC 8656 §14).
    pub dont_fragment: bool,
}
