//! Allocations as the operator sees them: copies, never handles.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::identity::{AllocationId, FiveTuple};
use crate::fastpath::SessionId;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllocationView {
    pub id: AllocationId,
    /// The username without its expiry.
    pub user: String,
    pub tuple: FiveTuple,
    /// One, or one of each family, IPv4 first.
    pub relayed: Vec<SocketAddr>,
    pub created: Instant,
    pub expires: Instant,
    /// Channels that relay now.
    pub channels: Vec<ChannelView>,
    pub permissions: Vec<PermissionView>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChannelView {
    pub number: u16,
    pub peer: SocketAddr,
    pub session: SessionId,
    pub relayed: SocketAddr,
    pub expires: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PermissionView {
    pub peer: IpAddr,
    pub expires: Instant,
}

/// A peer that was refused, and the rule that did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusalView {
    pub unix: u64,
    pub user: String,
    pub client: SocketAddr,
    pub peer: SocketAddr,
    /// A sentence that names the rule and what would allow it.
    pub reason: String,
}
