//! The headers the data path reads and writes, as they lie in a packet: multi-byte fields in network order.
//!
//! `network-types` has the same headers as byte arrays; its fields would be loaded byte by byte in BPF, so these are
//! words of the field's width, and the asserts below hold the two to each other.

use core::mem::{offset_of, size_of};

use network_types::{eth::EthHdr, ip::Ipv4Hdr, ip::Ipv6Hdr, udp::UdpHdr};

/// `EthHdr::ether_type` of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800u16.to_be();
/// `EthHdr::ether_type` of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86ddu16.to_be();
/// `EthHdr::ether_type` of a customer VLAN tag (IEEE 802.1Q).
pub const ETHERTYPE_VLAN: u16 = 0x8100u16.to_be();
/// VLAN id bits of [`Vlan::tci`], host order.
pub const VLAN_ID_MASK: u16 = 0x0fff;

/// Ethernet II.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ethernet {
    /// Destination MAC.
    pub destination: [u16; 3],
    /// Source MAC.
    pub source: [u16; 3],
    /// What follows.
    pub ethertype: u16,
}

/// 802.1Q tag, behind the Ethernet header.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Vlan {
    /// Priority and VLAN id.
    pub tci: u16,
    /// What follows.
    pub ethertype: u16,
}

/// IPv4 without options.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ipv4 {
    /// Version and header length in words: 0x45 without options.
    pub version_ihl: u8,
    /// DSCP and ECN.
    pub tos: u8,
    /// Header and payload, bytes.
    pub total_length: u16,
    /// Identification.
    pub id: u16,
    /// Flags and fragment offset.
    pub fragment: u16,
    /// Time to live.
    pub ttl: u8,
    /// Payload protocol.
    pub protocol: u8,
    /// Header checksum.
    pub checksum: u16,
    /// Sender.
    pub source: u32,
    /// Receiver.
    pub destination: u32,
}

/// IPv6, fixed header.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Ipv6 {
    /// Version, traffic class, flow label.
    pub version_class_flow: u32,
    /// Bytes behind this header.
    pub payload_length: u16,
    /// Payload protocol or extension header.
    pub next_header: u8,
    /// Hop limit.
    pub hop_limit: u8,
    /// Sender.
    pub source: [u32; 4],
    /// Receiver.
    pub destination: [u32; 4],
}

/// UDP.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Udp {
    /// Sender's port.
    pub source: u16,
    /// Receiver's port.
    pub destination: u16,
    /// Header and payload, bytes.
    pub length: u16,
    /// Checksum, 0 for none.
    pub checksum: u16,
}

/// ChannelData header, <https://www.rfc-editor.org/rfc/rfc8656#section-12.4>.
#[derive(Clone, Copy)]
#[repr(C)]
pub struct Channel {
    /// 0x4000 to 0x7fff.
    pub number: u16,
    /// Application bytes, without padding.
    pub length: u16,
}

/// Bytes of an Ethernet header.
pub const ETHERNET_LEN: usize = size_of::<Ethernet>();
/// Bytes of a VLAN tag.
pub const VLAN_LEN: usize = size_of::<Vlan>();
/// Bytes of a UDP header.
pub const UDP_LEN: u16 = size_of::<Udp>() as u16;
/// Bytes of a ChannelData header.
pub const CHANNEL_LEN: u16 = size_of::<Channel>() as u16;

wire_pod!(Ethernet, Vlan, Ipv4, Ipv6, Udp, Channel);

const _: () = {
    assert!(size_of::<Ethernet>() == EthHdr::LEN);
    assert!(size_of::<Ipv4>() == Ipv4Hdr::LEN);
    assert!(size_of::<Ipv6>() == Ipv6Hdr::LEN);
    assert!(size_of::<Udp>() == UdpHdr::LEN);
    assert!(size_of::<Vlan>() == 4 && size_of::<Channel>() == 4);
    assert!(offset_of!(Ethernet, ethertype) == offset_of!(EthHdr, ether_type));
    assert!(offset_of!(Ipv4, fragment) == offset_of!(Ipv4Hdr, frags));
    assert!(offset_of!(Ipv4, checksum) == offset_of!(Ipv4Hdr, check));
    assert!(offset_of!(Ipv4, source) == offset_of!(Ipv4Hdr, src_addr));
    assert!(offset_of!(Ipv4, destination) == offset_of!(Ipv4Hdr, dst_addr));
    assert!(offset_of!(Ipv6, hop_limit) == offset_of!(Ipv6Hdr, hop_limit));
    assert!(offset_of!(Ipv6, source) == offset_of!(Ipv6Hdr, src_addr));
    assert!(offset_of!(Ipv6, destination) == offset_of!(Ipv6Hdr, dst_addr));
    assert!(offset_of!(Udp, length) == offset_of!(UdpHdr, len));
    assert!(offset_of!(Udp, checksum) == offset_of!(UdpHdr, check));
};
