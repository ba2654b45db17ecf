//! Internet checksum arithmetic (RFC 1071, RFC 1624).
//!
//! Sums are kept in the packet's byte order throughout: 16-bit words are added as they lie in memory and the
//! result is stored as it is. The ones'-complement sum does not depend on byte order as long as nobody swaps
//! half-way, so nothing here ever swaps; a length must be turned to network order before it is added.

use crate::session::Match;

/// Folds a sum of up to 2^32 words to 16 bits.
#[inline(always)]
pub fn fold(sum: u64) -> u16 {
    let sum = (sum & 0xffff_ffff) + (sum >> 32);
    let sum = (sum & 0xffff) + ((sum >> 16) & 0xffff) + (sum >> 32);
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// As [`fold`], of a sum that fits 32 bits.
#[inline(always)]
pub fn fold32(sum: u32) -> u16 {
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    sum as u16
}

/// RFC 1624 equation 3: the checksum after words summing to `old` were replaced by words summing to `new`.
#[inline(always)]
pub fn update(checksum: u16, old: u16, new: u16) -> u16 {
    !fold(u64::from(!checksum) + u64::from(!old) + u64::from(new))
}

/// As [`update`], with `new − old` already one ones'-complement sum.
#[inline(always)]
pub fn adjust(checksum: u16, delta: u32) -> u16 {
    !fold32(u32::from(!checksum) + delta)
}

/// A UDP checksum of zero means "none": the sum zero is sent as all ones (RFC 768).
#[inline(always)]
pub fn never_zero(checksum: u16) -> u16 {
    if checksum == 0 { 0xffff } else { checksum }
}

/// Sum over bytes as 16-bit words in memory order; an odd last byte is padded with zero.
pub fn sum(bytes: &[u8]) -> u64 {
    let mut total = 0u64;
    let mut words = bytes.chunks_exact(2);
    for w in &mut words {
        total += u64::from(u16::from_ne_bytes([w[0], w[1]]));
    }
    if let [last] = words.remainder() {
        total += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    total
}

/// Constant part of the UDP checksum change for packets that arrive on `arrival` and leave by `departure`.
pub fn transport_delta(arrival: &Match, departure: &Match) -> u16 {
    let old = words(&arrival.remote.0)
        + words(&arrival.local.0)
        + u64::from(arrival.remote_port)
        + u64::from(arrival.local_port);
    let new = words(&departure.remote.0)
        + words(&departure.local.0)
        + u64::from(departure.remote_port)
        + u64::from(departure.local_port);
    fold(u64::from(!fold(old)) + u64::from(fold(new)))
}

/// Sum of the UDP pseudo header of packets that match `arrival`, without their length.
pub fn pseudo_sum(arrival: &Match) -> u16 {
    let protocol = u16::from(network_types::ip::IpProto::Udp as u8).to_be();
    fold(words(&arrival.remote.0) + words(&arrival.local.0) + u64::from(protocol))
}

/// Constant part of the IPv4 header checksum change.
pub fn header_delta(arrival: &Match, departure: &Match) -> u16 {
    let old = words(&arrival.remote.0) + words(&arrival.local.0);
    let new = words(&departure.remote.0) + words(&departure.local.0);
    fold(u64::from(!fold(old)) + u64::from(fold(new)))
}

fn words(words: &[u32; 4]) -> u64 {
    words.iter().map(|w| u64::from(*w)).sum()
}
