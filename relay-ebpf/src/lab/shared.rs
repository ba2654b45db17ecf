//! What the harness is told, shared with the benches that include this file.

/// Words of header the harness writes: Ethernet, IPv6, UDP and ChannelData, rounded up.
pub const HEADER_WORDS: usize = 9;

/// Which packets to make.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Harness {
    /// First bytes of every packet.
    pub header: [u64; HEADER_WORDS],
    /// Bytes of a packet.
    pub length: u32,
    /// Number of flows, taken at random.
    pub flows: u32,
    /// Flow `i` adds `i & address_mask` to the source address, ...
    pub address_mask: u32,
    /// ... `i & source_port_mask` to the source port, ...
    pub source_port_mask: u32,
    /// ... and `i & port_mask` to the destination port.
    pub port_mask: u32,
    /// What `shift` moves the start by.
    pub shift: i32,
    /// 1 for IPv6.
    pub is_v6: u32,
    /// `generate` sends one packet in so many and drops the rest: a pace without a clock. 0 is 1.
    pub one_in: u32,
    /// Where the RTP header starts, whose sequence number counts up; 0: none.
    pub rtp: u32,
    /// Low bits of a flow that add to the channel number instead, IPv4 only; the flow loses them.
    pub channel_bits: u32,
}
