//! Which local UDP ports are ours, so that the host's other traffic costs one array read and is left alone.

/// ChannelData may arrive here.
pub const PORT_IS_CONTROL: u32 = 1;
/// Plain UDP of sessions may arrive here.
pub const PORT_IS_FLOW: u32 = 2;
/// With [`PORT_IS_FLOW`]: whoever sends here first begins a session (a forward's listener).
pub const PORT_IS_OPEN: u32 = 4;
/// Entries of `PORTS`: every port, once for IPv4 and once for IPv6.
pub const PORT_ENTRIES: u32 = 2 * 65_536;

/// What a local port is, and a shortcut to its session when it has just one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct PortEntry {
    /// `PORT_IS_*` bits; 0: not ours.
    pub kind: u32,
    /// Slot of a session with a plain-UDP leg on this port; only a hint, the slot's match decides.
    pub slot: u32,
    /// That session's generation; 0: no hint.
    pub generation: u32,
    /// Which of its legs.
    pub leg: u32,
}

/// Index in `PORTS`; `port` in host order.
#[inline(always)]
pub fn port_index(is_v6: bool, port: u16) -> u32 {
    ((is_v6 as u32) << 16) | port as u32
}
