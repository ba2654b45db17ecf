//! What the data path asks of an IP header, so that there is one path for both versions. `at` is where it starts.

use core::mem::offset_of;

use super::head::{Head, HeadMut};
use super::rewrite::Recipe;
use crate::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ipv4, Ipv6};
use crate::{Counter, Family, Match, checksum};

const UDP: u8 = network_types::ip::IpProto::Udp as u8;
/// Hop-by-hop, routing, fragment, ESP, AH, destination options, mobility, HIP, shim6.
const EXTENSION_HEADERS: [u8; 9] = [0, 43, 44, 50, 51, 60, 135, 139, 140];

/// A fixed-length IP header.
pub trait Ip {
    const LEN: usize;
    const FAMILY: u16;
    const IS_V6: bool;
    /// As the Ethernet header names it.
    const ETHERTYPE: u16;
    /// Fields that go on as they came.
    type Kept;
    /// Whether a UDP header follows directly and whole; the reason to pass if not.
    fn check(head: &Head, at: usize) -> Result<(), Counter>;
    /// Bytes behind this header, host order.
    fn payload_length(head: &Head, at: usize) -> u16;
    fn hop_limit(head: &Head, at: usize) -> u8;
    /// Source and destination.
    fn addresses(head: &Head, at: usize) -> [[u32; 4]; 2];
    /// Whether the header's addresses are those of `m`.
    fn matches(head: &Head, at: usize, m: &Match) -> bool;
    fn keep(head: &Head, at: usize) -> Self::Kept;
    /// What of `kept` means the same in the other version, one hop less.
    fn traffic(kept: &Self::Kept) -> Traffic;
    /// A header of this version for a packet that came with one of the other.
    fn originate(traffic: Traffic, recipe: &Recipe, head: &mut HeadMut, at: usize);
    /// This header on its way on: mirrored addresses of the departure, one hop less.
    fn forward(kept: Self::Kept, recipe: &Recipe, head: &mut HeadMut, at: usize);
}

/// What both versions have, each in its place.
pub struct Traffic {
    /// DSCP and ECN.
    class: u8,
    hop_limit: u8,
}

pub enum V4 {}
pub enum V6 {}

pub struct KeptV4 {
    version_tos: u16,
    total_length: u16,
    id_fragment: u32,
    ttl_protocol: u16,
    checksum: u16,
}

impl Ip for V4 {
    const LEN: usize = size_of::<Ipv4>();
    const FAMILY: u16 = Family::V4 as u16;
    const IS_V6: bool = false;
    const ETHERTYPE: u16 = ETHERTYPE_IPV4;
    type Kept = KeptV4;

    #[inline(always)]
    fn check(head: &Head, at: usize) -> Result<(), Counter> {
        let version_ihl: u8 = head.get(at + offset_of!(Ipv4, version_ihl));
        let protocol: u8 = head.get(at + offset_of!(Ipv4, protocol));
        // More-fragments flag and fragment offset.
        let fragment = head.get::<u16>(at + offset_of!(Ipv4, fragment)) & 0x3fffu16.to_be();
        // One branch for what nearly every packet is.
        if (version_ihl ^ 0x45) as u32 | (protocol ^ UDP) as u32 | fragment as u32 == 0 {
            Ok(())
        } else if version_ihl >> 4 != 4 {
            Err(Counter::NotIp)
        } else if protocol != UDP {
            Err(Counter::NotUdp)
        } else if fragment != 0 {
            Err(Counter::Fragment)
        } else {
            Err(Counter::IpOptions)
        }
    }
    #[inline(always)]
    fn payload_length(head: &Head, at: usize) -> u16 {
        let total: u16 = head.get(at + offset_of!(Ipv4, total_length));
        u16::from_be(total).wrapping_sub(Self::LEN as u16)
    }
    #[inline(always)]
    fn hop_limit(head: &Head, at: usize) -> u8 {
        head.get(at + offset_of!(Ipv4, ttl))
    }
    #[inline(always)]
    fn addresses(head: &Head, at: usize) -> [[u32; 4]; 2] {
        [
            [head.get(at + offset_of!(Ipv4, source)), 0, 0, 0],
            [head.get(at + offset_of!(Ipv4, destination)), 0, 0, 0],
        ]
    }
    #[inline(always)]
    fn matches(head: &Head, at: usize, m: &Match) -> bool {
        head.get::<u32>(at + offset_of!(Ipv4, source)) == m.remote.0[0]
            && head.get::<u32>(at + offset_of!(Ipv4, destination)) == m.local.0[0]
    }
    #[inline(always)]
    fn keep(head: &Head, at: usize) -> KeptV4 {
        KeptV4 {
            version_tos: head.get(at + offset_of!(Ipv4, version_ihl)),
            total_length: head.get(at + offset_of!(Ipv4, total_length)),
            id_fragment: head.get(at + offset_of!(Ipv4, id)),
            ttl_protocol: head.get(at + offset_of!(Ipv4, ttl)),
            checksum: head.get(at + offset_of!(Ipv4, checksum)),
        }
    }
    #[inline(always)]
    fn forward(kept: KeptV4, recipe: &Recipe, head: &mut HeadMut, at: usize) {
        /// The word of TTL and protocol loses this with each hop.
        const HOP: u16 = u16::from_ne_bytes([1, 0]);
        let total_length = (recipe.udp_length + Self::LEN as u16).to_be();
        let delta = recipe.arrival.header_delta as u32
            + !kept.total_length as u32
            + total_length as u32
            + !HOP as u32;
        head.put(at + offset_of!(Ipv4, version_ihl), kept.version_tos);
        head.put(at + offset_of!(Ipv4, total_length), total_length);
        head.put(at + offset_of!(Ipv4, id), kept.id_fragment);
        // No borrow: a TTL of zero or one does not come here.
        head.put(
            at + offset_of!(Ipv4, ttl),
            kept.ttl_protocol.wrapping_sub(HOP),
        );
        head.put(
            at + offset_of!(Ipv4, checksum),
            checksum::adjust(kept.checksum, delta),
        );
        put_v4_addresses(&recipe.departure.matches, head, at);
    }
    #[inline(always)]
    fn traffic(kept: &KeptV4) -> Traffic {
        Traffic {
            class: kept.version_tos.to_ne_bytes()[1],
            hop_limit: kept.ttl_protocol.to_ne_bytes()[0] - 1,
        }
    }
    #[inline(always)]
    fn originate(traffic: Traffic, recipe: &Recipe, head: &mut HeadMut, at: usize) {
        /// An atomic datagram, as those of IPv6 are: the identification means nothing (RFC 6864).
        const DONT_FRAGMENT: u16 = 0x4000u16.to_be();
        let m = &recipe.departure.matches;
        let version_tos = u16::from_ne_bytes([0x45, traffic.class]);
        let total_length = (recipe.udp_length + Self::LEN as u16).to_be();
        let ttl_protocol = u16::from_ne_bytes([traffic.hop_limit, UDP]);
        let sum = version_tos as u64
            + total_length as u64
            + DONT_FRAGMENT as u64
            + ttl_protocol as u64
            + m.local.0[0] as u64
            + m.remote.0[0] as u64;
        head.put(at + offset_of!(Ipv4, version_ihl), version_tos);
        head.put(at + offset_of!(Ipv4, total_length), total_length);
        head.put(at + offset_of!(Ipv4, id), 0u16);
        head.put(at + offset_of!(Ipv4, fragment), DONT_FRAGMENT);
        head.put(at + offset_of!(Ipv4, ttl), ttl_protocol);
        head.put(at + offset_of!(Ipv4, checksum), !checksum::fold(sum));
        put_v4_addresses(m, head, at);
    }
}

#[inline(always)]
fn put_v4_addresses(departure: &Match, head: &mut HeadMut, at: usize) {
    head.put(at + offset_of!(Ipv4, source), departure.local.0[0]);
    head.put(at + offset_of!(Ipv4, destination), departure.remote.0[0]);
}

pub struct KeptV6 {
    version_class_flow: u32,
    next_header_hop_limit: u16,
}

impl Ip for V6 {
    const LEN: usize = size_of::<Ipv6>();
    const FAMILY: u16 = Family::V6 as u16;
    const IS_V6: bool = true;
    const ETHERTYPE: u16 = ETHERTYPE_IPV6;
    type Kept = KeptV6;

    #[inline(always)]
    fn check(head: &Head, at: usize) -> Result<(), Counter> {
        let version: u8 = head.get(at);
        let next_header: u8 = head.get(at + offset_of!(Ipv6, next_header));
        if version >> 4 != 6 {
            return Err(Counter::NotIp);
        }
        if next_header == UDP {
            return Ok(());
        }
        for extension in EXTENSION_HEADERS {
            if next_header == extension {
                return Err(Counter::ExtensionHeader);
            }
        }
        Err(Counter::NotUdp)
    }
    #[inline(always)]
    fn payload_length(head: &Head, at: usize) -> u16 {
        u16::from_be(head.get(at + offset_of!(Ipv6, payload_length)))
    }
    #[inline(always)]
    fn hop_limit(head: &Head, at: usize) -> u8 {
        head.get(at + offset_of!(Ipv6, hop_limit))
    }
    #[inline(always)]
    fn addresses(head: &Head, at: usize) -> [[u32; 4]; 2] {
        [
            words(head, at + offset_of!(Ipv6, source)),
            words(head, at + offset_of!(Ipv6, destination)),
        ]
    }
    #[inline(always)]
    fn matches(head: &Head, at: usize, m: &Match) -> bool {
        let (source, destination) = (
            at + offset_of!(Ipv6, source),
            at + offset_of!(Ipv6, destination),
        );
        head.get::<u64>(source) == m.remote.halves()[0]
            && head.get::<u64>(source + 8) == m.remote.halves()[1]
            && head.get::<u64>(destination) == m.local.halves()[0]
            && head.get::<u64>(destination + 8) == m.local.halves()[1]
    }
    #[inline(always)]
    fn keep(head: &Head, at: usize) -> KeptV6 {
        KeptV6 {
            version_class_flow: head.get(at + offset_of!(Ipv6, version_class_flow)),
            next_header_hop_limit: head.get(at + offset_of!(Ipv6, next_header)),
        }
    }
    #[inline(always)]
    fn forward(kept: KeptV6, recipe: &Recipe, head: &mut HeadMut, at: usize) {
        const HOP: u16 = u16::from_ne_bytes([0, 1]);
        head.put(
            at + offset_of!(Ipv6, version_class_flow),
            kept.version_class_flow,
        );
        head.put(
            at + offset_of!(Ipv6, payload_length),
            recipe.udp_length.to_be(),
        );
        head.put(
            at + offset_of!(Ipv6, next_header),
            kept.next_header_hop_limit.wrapping_sub(HOP),
        );
        put_v6_addresses(&recipe.departure.matches, head, at);
    }
    #[inline(always)]
    fn traffic(kept: &KeptV6) -> Traffic {
        Traffic {
            class: (u32::from_be(kept.version_class_flow) >> 20) as u8,
            hop_limit: kept.next_header_hop_limit.to_ne_bytes()[1] - 1,
        }
    }
    #[inline(always)]
    fn originate(traffic: Traffic, recipe: &Recipe, head: &mut HeadMut, at: usize) {
        // A flow label is to be the same for all packets of a flow and else at random (RFC 6437): so is this sum of
        // addresses and ports.
        let label = recipe.arrival.checksum_delta as u32;
        let version_class_flow = 6 << 28 | (traffic.class as u32) << 20 | label;
        head.put(
            at + offset_of!(Ipv6, version_class_flow),
            version_class_flow.to_be(),
        );
        head.put(
            at + offset_of!(Ipv6, payload_length),
            recipe.udp_length.to_be(),
        );
        head.put(at + offset_of!(Ipv6, next_header), UDP);
        head.put(at + offset_of!(Ipv6, hop_limit), traffic.hop_limit);
        put_v6_addresses(&recipe.departure.matches, head, at);
    }
}

#[inline(always)]
fn put_v6_addresses(departure: &Match, head: &mut HeadMut, at: usize) {
    for i in 0..4 {
        head.put(at + offset_of!(Ipv6, source) + 4 * i, departure.local.0[i]);
        head.put(
            at + offset_of!(Ipv6, destination) + 4 * i,
            departure.remote.0[i],
        );
    }
}

#[inline(always)]
fn words(head: &Head, at: usize) -> [u32; 4] {
    [
        head.get(at),
        head.get(at + 4),
        head.get(at + 8),
        head.get(at + 12),
    ]
}
