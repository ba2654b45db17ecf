//! The kernel's mirror of the sessions userspace wants relayed. A cache: nothing here decides what is allowed.

use std::net::SocketAddr;
use std::time::Instant;

/// Names a session for its whole life, in the API and in the kernel mirror.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub u64);

/// One end of a session: who sends, to which of our addresses, in which framing, until when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Leg {
    pub remote: SocketAddr,
    pub local: SocketAddr,
    /// ChannelData number; `None` is plain UDP.
    pub channel: Option<u16>,
    /// Packets that arrive on this leg after it are not relayed by the kernel.
    pub deadline: Instant,
}

/// A packet that matches one leg leaves by the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionSpec {
    /// The client's side.
    pub near: Leg,
    /// The peer's or destination's side.
    pub far: Leg,
}
