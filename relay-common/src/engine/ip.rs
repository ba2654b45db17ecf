//! What the data path asks of an IP header, so that there is one path for both versions.

use crate::wire::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, Ipv4, Ipv6};
use crate::{Counter, Family, Match, Pod, checksum};

const UDP: u8 = network_types::ip::IpProto::Udp as u8;
/// Hop-by-hop, routing, fragment, ESP, AH, destination options, mobility, HIP, shim6.
const EXTENSION_HEADERS: [u8; 9] = [0, 43, 44, 50, 51, 60, 135, 139, 140];

/// A fixed-length IP header.
pub trait Ip: Pod {
    const LEN: usize = size_of::<Self>();
    const FAMILY: u8;
    const IS_V6: bool;
    /// As the Ethernet header names it.
    const ETHERTYPE: u16;
    /// Whether a UDP header follows directly and whole; the reason to pass if not.
    fn check(&self) -> Result<(), Counter>;
    /// Bytes behind this header, host order.
    fn payload_length(&self) -> u16;
    fn hop_limit(&self) -> u8;
    /// Sum of the UDP pseudo header; `udp_length` in network order.
    fn pseudo_header(&self, udp_length: u16) -> u64;
    /// Writes the addresses into `m`.
    fn addresses(&self, m: &mut Match);
    /// Whether `a` and `b` have the same addresses.
    fn same_addresses(a: &Match, b: &Match) -> bool;
    /// This header on its way on: mirrored addresses of `departure`, one hop less, `payload` bytes behind it.
    fn forwarded(self, departure: &Match, header_delta: u16, payload: u16) -> Self;
}

impl Ip for Ipv4 {
    const FAMILY: u8 = Family::V4 as u8;
    const IS_V6: bool = false;
    const ETHERTYPE: u16 = ETHERTYPE_IPV4;

    #[inline(always)]
    fn check(&self) -> Result<(), Counter> {
        if self.version_ihl >> 4 != 4 {
            return Err(Counter::NotIp);
        }
        if self.protocol != UDP {
            return Err(Counter::NotUdp);
        }
        // More-fragments flag or a fragment offset.
        if self.fragment & 0x3fffu16.to_be() != 0 {
            return Err(Counter::Fragment);
        }
        if self.version_ihl != 0x45 {
            return Err(Counter::IpOptions);
        }
        Ok(())
    }
    #[inline(always)]
    fn payload_length(&self) -> u16 {
        u16::from_be(self.total_length).wrapping_sub(Self::LEN as u16)
    }
    #[inline(always)]
    fn hop_limit(&self) -> u8 {
        self.ttl
    }
    #[inline(always)]
    fn pseudo_header(&self, udp_length: u16) -> u64 {
        self.source as u64
            + self.destination as u64
            + udp_length as u64
            + (UDP as u16).to_be() as u64
    }
    #[inline(always)]
    fn addresses(&self, m: &mut Match) {
        m.remote.0[0] = self.source;
        m.local.0[0] = self.destination;
    }
    #[inline(always)]
    fn same_addresses(a: &Match, b: &Match) -> bool {
        a.remote.0[0] == b.remote.0[0] && a.local.0[0] == b.local.0[0]
    }
    #[inline(always)]
    fn forwarded(self, departure: &Match, header_delta: u16, payload: u16) -> Self {
        let total_length = (payload + Self::LEN as u16).to_be();
        let ttl = self.ttl - 1;
        let word = |ttl| u16::from_ne_bytes([ttl, self.protocol]);
        let delta = header_delta as u64
            + !self.total_length as u64
            + total_length as u64
            + !word(self.ttl) as u64
            + word(ttl) as u64;
        Self {
            total_length,
            ttl,
            checksum: checksum::adjust(self.checksum, delta),
            source: departure.local.0[0],
            destination: departure.remote.0[0],
            ..self
        }
    }
}

impl Ip for Ipv6 {
    const FAMILY: u8 = Family::V6 as u8;
    const IS_V6: bool = true;
    const ETHERTYPE: u16 = ETHERTYPE_IPV6;

    #[inline(always)]
    fn check(&self) -> Result<(), Counter> {
        if self.version_class_flow & 0xf000_0000u32.to_be() != 0x6000_0000u32.to_be() {
            return Err(Counter::NotIp);
        }
        if self.next_header == UDP {
            return Ok(());
        }
        for extension in EXTENSION_HEADERS {
            if self.next_header == extension {
                return Err(Counter::ExtensionHeader);
            }
        }
        Err(Counter::NotUdp)
    }
    #[inline(always)]
    fn payload_length(&self) -> u16 {
        u16::from_be(self.payload_length)
    }
    #[inline(always)]
    fn hop_limit(&self) -> u8 {
        self.hop_limit
    }
    #[inline(always)]
    fn pseudo_header(&self, udp_length: u16) -> u64 {
        words(&self.source)
            + words(&self.destination)
            + udp_length as u64
            + (UDP as u16).to_be() as u64
    }
    #[inline(always)]
    fn addresses(&self, m: &mut Match) {
        m.remote.0 = self.source;
        m.local.0 = self.destination;
    }
    #[inline(always)]
    fn same_addresses(a: &Match, b: &Match) -> bool {
        same(&a.remote.0, &b.remote.0) && same(&a.local.0, &b.local.0)
    }
    #[inline(always)]
    fn forwarded(self, departure: &Match, _header_delta: u16, payload: u16) -> Self {
        Self {
            payload_length: payload.to_be(),
            hop_limit: self.hop_limit - 1,
            source: departure.local.0,
            destination: departure.remote.0,
            ..self
        }
    }
}

#[inline(always)]
fn words(words: &[u32; 4]) -> u64 {
    words[0] as u64 + words[1] as u64 + words[2] as u64 + words[3] as u64
}

// Word by word: comparing arrays would become a call to memcmp.
#[inline(always)]
fn same(a: &[u32; 4], b: &[u32; 4]) -> bool {
    ((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3])) == 0
}
