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
    /// Not 0: checksums that senders left to hardware may be made right, and stay as they are made. In generic mode the
    /// kernel would compute them once more, at the place where they were.
    pub completes: u32,
    /// Zero.
    pub _pad: u32,
}

impl NextHop {
    /// Both MAC addresses, as they lie in an Ethernet header.
    #[inline(always)]
    pub fn macs(&self) -> [u32; 3] {
        let (d, s) = (&self.destination, &self.source);
        [
            u32::from_ne_bytes([d[0], d[1], d[2], d[3]]),
            u32::from_ne_bytes([d[4], d[5], s[0], s[1]]),
            u32::from_ne_bytes([s[2], s[3], s[4], s[5]]),
        ]
    }
}
