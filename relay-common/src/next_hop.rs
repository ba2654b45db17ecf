//! Where a frame goes next on the wire, kept current by userspace from neighbour and route events.

/// [`NextHop::vlan`] of an untagged link.
pub const VLAN_NONE: u16 = 0xffff;

/// Layer-2 destination shared by every leg behind the same gateway or neighbour.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct NextHop {
    /// MAC address of the gateway or neighbour.
    pub destination: [u8; 6],
    /// MAC address of our card.
    pub source: [u8; 6],
    /// VLAN id the frame must carry, or [`VLAN_NONE`].
    pub vlan: u16,
    /// Largest IP packet the link takes, bytes.
    pub mtu: u16,
    /// Card the frame leaves by; 0 while the neighbour is not resolved.
    pub ifindex: u32,
    /// Index of that card in `CARDS`.
    pub card: u32,
    /// Zero.
    pub _pad: [u32; 2],
}
