//! A session as the kernel sees it: two legs; a packet that matches one leaves by the other.

use core::net::{IpAddr, SocketAddr};

use crate::Meter;

/// An IP address as it stands in a packet: network order, an IPv4 one in the first word, the rest zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C, align(8))]
pub struct Address(pub [u32; 4]);

/// IP version of a leg, as stored in [`Match::family`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u16)]
pub enum Family {
    /// IPv4.
    V4 = 4,
    /// IPv6.
    V6 = 6,
}

/// Who sends, to which of our addresses, in which framing. Ports and channel in network order, as in the packet.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
#[repr(C)]
pub struct Match {
    /// The sender.
    pub remote: Address,
    /// Our address it sends to.
    pub local: Address,
    /// The sender's port.
    pub remote_port: u16,
    /// Our port.
    pub local_port: u16,
    /// ChannelData number, 0 for plain UDP.
    pub channel: u16,
    /// 4 or 6: a [`Family`].
    pub family: u16,
}

/// One end of a session.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Leg {
    /// Packets that arrive here, and, mirrored, how packets leave here.
    pub matches: Match,
    /// Index of the next hop towards the remote.
    pub next_hop: u32,
    /// Ones'-complement sum that turns the transport checksum of a packet arriving on this leg into that of the
    /// packet leaving by the other one: addresses and ports; lengths and ChannelData headers are added per packet.
    pub checksum_delta: u16,
    /// The same for the IPv4 header checksum: addresses only.
    pub header_delta: u16,
    /// Sum of the UDP pseudo header of packets arriving here, without their length.
    pub pseudo_sum: u16,
    /// Zero.
    pub _pad: u16,
    /// Where the RTP streams that arrive here are kept: an index in `STREAMS`, 0 for nowhere.
    pub streams: u32,
    /// `jiffies64` from which on packets arriving here are no longer relayed by the kernel.
    pub deadline: u64,
    /// Packets that arrived here and were relayed by the kernel.
    pub packets: u64,
    /// Their application bytes.
    pub bytes: u64,
    /// Limits of whoever sends here, and receives from here: [`meter_index`], 0 for none.
    pub meters: [u32; 2],
}

/// Two legs and the word that makes them live together. Three cache lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Session {
    /// Non-zero while both legs are valid; equal to the generation of the index entries that lead here.
    /// Written last when a session is installed and first when it is removed.
    pub generation: u32,
    /// Zero.
    pub _pad: u32,
    /// Packets that arrived on each leg and were over a limit.
    pub refused: [u32; 2],
    /// A packet that matches `legs[i]` leaves by `legs[1 - i]`.
    pub legs: [Leg; 2],
}

/// What lies together, so that a packet touches one page for all of it: a session and, as a rule, its own meter and its
/// user's. Five cache lines.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(64))]
pub struct Slot {
    /// The session.
    pub session: Session,
    /// Of whoever names them in [`Leg::meters`], this session or another.
    pub meters: [Meter; 2],
}

/// Bytes of a page of memory: what one entry of a TLB stands for.
const PAGE: u32 = 4096;

/// `slot`, then the others that begin in its page; some may be beyond the table.
pub fn beside(slot: u32) -> impl Iterator<Item = u32> {
    const SLOT: u32 = size_of::<Slot>() as u32;
    // In 64 slots as many whole pages as lines in a slot: no product overflows.
    let (group, within) = (slot & !63, slot & 63);
    let page = within * SLOT / PAGE * PAGE;
    let others = group + page.div_ceil(SLOT)..group + (page + PAGE).div_ceil(SLOT);
    core::iter::once(slot).chain(others.filter(move |other| *other != slot))
}

/// What [`Leg::meters`] calls one of the two meters of a slot.
#[inline(always)]
pub const fn meter_index(slot: u32, place: u32) -> u32 {
    2 * slot + place + 1
}

/// The slot of a meter, and which of its two it is.
#[inline(always)]
pub const fn meter_place(index: u32) -> (u32, u32) {
    let from_0 = index.wrapping_sub(1);
    (from_0 >> 1, from_0 & 1)
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Self {
        match ip {
            IpAddr::V4(v4) => Self([u32::from_ne_bytes(v4.octets()), 0, 0, 0]),
            IpAddr::V6(v6) => {
                let mut words = [0; 4];
                for (word, bytes) in words.iter_mut().zip(v6.octets().chunks_exact(4)) {
                    *word = u32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                }
                Self(words)
            }
        }
    }
}

impl Match {
    /// The match of packets from `remote` to `local`; `channel` 0 is plain UDP. Both of one family.
    pub fn new(remote: SocketAddr, local: SocketAddr, channel: u16) -> Self {
        let family = if remote.is_ipv4() {
            Family::V4
        } else {
            Family::V6
        };
        Self {
            remote: remote.ip().into(),
            local: local.ip().into(),
            remote_port: remote.port().to_be(),
            local_port: local.port().to_be(),
            channel: channel.to_be(),
            family: family as u16,
        }
    }
}

impl Session {
    /// A session of two legs, with its checksum deltas; not live until a generation is written.
    pub fn new(legs: [Match; 2], next_hops: [u32; 2], deadlines: [u64; 2]) -> Self {
        let leg = |i: usize| Leg {
            matches: legs[i],
            next_hop: next_hops[i],
            checksum_delta: crate::checksum::transport_delta(&legs[i], &legs[1 - i]),
            header_delta: crate::checksum::header_delta(&legs[i], &legs[1 - i]),
            pseudo_sum: crate::checksum::pseudo_sum(&legs[i]),
            deadline: deadlines[i],
            ..Leg::default()
        };
        Self {
            legs: [leg(0), leg(1)],
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use std::vec::Vec;

    use super::*;

    #[test]
    fn beside_a_slot_are_those_of_its_page_and_it_comes_first() {
        let page = |slot: u32| slot as usize * size_of::<Slot>() / 4096;
        for slot in (0..200).chain(crate::MAX_SESSIONS - 70..crate::MAX_SESSIONS) {
            let mut all: Vec<u32> = beside(slot).collect();
            assert_eq!(all[0], slot);
            all.sort_unstable();
            let near = slot.saturating_sub(20)..slot + 20;
            let same: Vec<u32> = near.filter(|other| page(*other) == page(slot)).collect();
            assert_eq!(all, same);
        }
    }
}
