//! The kernel's mirror of the sessions userspace wants relayed. A cache: nothing here decides what is allowed,
//! and nothing here is called per packet.

use std::net::SocketAddr;
use std::time::Instant;

use crate::api;
use crate::config;

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

/// What the kernel relayed of one session, by the leg it arrived on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LegTraffic {
    /// Arrived on the near leg, left by the far one.
    pub near: api::Traffic,
    /// Arrived on the far leg, left by the near one.
    pub far: api::Traffic,
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
    /// Next hops in use, and of these how many wait for their neighbour.
    pub next_hops: u64,
    pub next_hops_unresolved: u64,
    /// Installs the tables refused (full, or the same match twice); monotone.
    pub failed_installs: u64,
    /// Words of kernel memory found different from what was written, and repaired; monotone.
    pub drift: u64,
    /// Packets and bytes relayed in the kernel, removed sessions included; monotone.
    pub traffic: api::Traffic,
}

/// Handle of the mirror. Clones are the same mirror.
#[derive(Debug, Clone)]
pub struct FastPath {
    off: String,
}

impl FastPath {
    /// Loads and attaches what can be. Never fails: the last rung is userspace only, with the reason.
    pub fn open(kernel: &config::Kernel) -> (Self, Vec<api::Card>) {
        let off = if kernel.xdp == config::XdpMode::Off {
            "turned off (--xdp off)"
        } else {
            "no card is named (--interface)"
        };
        (Self::off(off), Vec::new())
    }

    /// A mirror without a kernel: every session stays in userspace for `reason`.
    pub fn off(reason: impl Into<String>) -> Self {
        Self { off: reason.into() }
    }

    /// Why no session can run in the kernel, when none can.
    pub fn why_off(&self) -> Option<String> {
        Some(self.off.clone())
    }

    /// Clients speak TURN to `local`: ChannelData may arrive there. Counted by family and port.
    pub fn open_control_port(&self, _local: SocketAddr) {}

    /// Plain UDP of sessions may arrive at `local` (relayed addresses, forward listeners and their far sides).
    pub fn open_flow_port(&self, _local: SocketAddr) {}

    /// Takes one `open_*_port` of `local` back.
    pub fn close_port(&self, _local: SocketAddr) {}

    /// Wants `spec` relayed in the kernel, now or as soon as its next hops are known. Replaces what `id` was.
    pub fn install(&self, _id: SessionId, _spec: SessionSpec) {}

    /// Moves the deadlines of a session, either way.
    pub fn extend(&self, _id: SessionId, _near_deadline: Instant, _far_deadline: Instant) {}

    /// When it returns, the kernel matches no further packet of the session. `None`: not a session of the mirror.
    pub fn remove(&self, _id: SessionId) -> Option<LegTraffic> {
        None
    }

    /// Where the session runs.
    pub fn session(&self, _id: SessionId) -> Placement {
        Placement {
            reason: self.why_off(),
            ..Placement::default()
        }
    }

    /// Kernel verdicts by name, summed over CPUs.
    pub fn counters(&self) -> Vec<(&'static str, u64)> {
        relay_common::Counter::ALL
            .iter()
            .map(|c| (c.name(), 0))
            .collect()
    }

    /// State of the mirror as numbers.
    pub fn gauges(&self) -> Gauges {
        Gauges::default()
    }

    /// Detaches from the cards. Every session is userspace's again.
    pub fn close(&self) {}
}
