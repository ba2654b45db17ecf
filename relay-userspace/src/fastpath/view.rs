//! What the mirror tells of itself: of one session, and in numbers. Data only.

use crate::api;

/// What the kernel relayed of one session, by the leg it arrived on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LegTraffic {
    /// Arrived on the near leg, left by the far one.
    pub near: api::Traffic,
    /// Arrived on the far leg, left by the near one.
    pub far: api::Traffic,
    /// Packets over a limit, by the leg they arrived on: near, far.
    pub refused: [u64; 2],
}

/// Where a session runs, why not in the kernel, and what the kernel relayed of it so far.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Placement {
    pub in_kernel: bool,
    pub reason: Option<String>,
    pub traffic: LegTraffic,
}

/// State of the mirror as numbers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Sessions userspace wants relayed.
    pub wanted: u64,
    /// Of these, how many run in the kernel.
    pub installed: u64,
    /// Sessions the kernel tables have room for.
    pub capacity: u64,
    /// Places in the tables that are taken: a session, or two clients that meet, and what was freed a moment ago.
    pub slots_used: u64,
    /// Next hops in use, and of these how many wait for their neighbour.
    pub next_hops: u64,
    pub next_hops_unresolved: u64,
    /// Clients, permitted peers and ends of forward sessions the shield knows, and for how many it has no room.
    pub known: u64,
    pub known_without_room: u64,
    /// Installs the tables refused (full, or the same match twice); monotone.
    pub failed_installs: u64,
    /// Words of kernel memory found different from what was written, and repaired; monotone.
    pub drift: u64,
    /// Packets and bytes relayed in the kernel, removed sessions included; monotone.
    pub traffic: api::Traffic,
}
