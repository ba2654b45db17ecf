//! The data path, once, for the kernel and for the host: parse, classify, look up, decide, rewrite.
//!
//! Every check that can fail comes before the first byte changes: an `Err` leaves the frame as it came and names
//! the counter of its reason. Nothing here knows TURN; ChannelData is a 4-byte header that one leg has or has not.

mod complete;
mod head;
mod ip;
mod lookup;
mod media;
pub mod police;
mod rewrite;
mod shield;

use core::mem::offset_of;

use crate::wire::{
    CHANNEL_LEN, ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, Ethernet, UDP_LEN,
    Udp, VLAN_ID_MASK, VLAN_LEN, Vlan,
};
use crate::{
    Allowances, Bucket, Counter, KnownBucket, Leg, NextHop, PORT_IS_CONTROL, PORT_IS_FLOW, Paces,
    Pod, PortEntry, RtpHeader, Session,
};
use crate::{VLAN_NONE, checksum, meter_time, port_index};

pub use head::{Head, HeadMut};
use ip::{Ip, V4, V6};
use rewrite::Recipe;

/// Bytes of a datagram that may be added up: above what any usual link takes, below what the verifier follows.
pub const MOST_SUMMED: u16 = 2048;

/// A packet in memory, starting at its Ethernet header.
pub trait Frame {
    /// Bytes from the first to the last.
    fn length(&self) -> usize;
    /// Interface it came in by.
    fn ingress(&self) -> u32;
    /// The first `length` bytes, if there are as many. `length` is a constant.
    fn head(&self, length: usize) -> Option<Head<'_>>;
    /// The same, to write.
    fn head_mut(&mut self, length: usize) -> Option<HeadMut<'_>>;
    /// The value at `offset`, if all of it is there.
    fn load<T: Pod>(&self, offset: usize) -> Option<T>;
    /// The byte `offset` behind `base`: a constant, and something below 32768 that is not.
    fn byte(&self, base: usize, offset: usize) -> Option<u8>;
    /// Ones'-complement sum of `length` bytes from `offset` on, a constant, as they lie in memory; `None`: not there, or
    /// more than [`MOST_SUMMED`].
    fn sum(&self, offset: usize, length: u16) -> Option<u16>;
    /// Writes a value at `offset`; `None` if it does not fit.
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()>;
    /// Whether the host has a socket for UDP `from` there `to` here, addresses and `ports` as in the packet.
    fn has_socket(&self, is_v6: bool, from: &[u32; 4], to: &[u32; 4], ports: u32) -> bool;
    /// Moves the start by `delta` bytes, forward when positive. Changes nothing when it returns false.
    fn move_start(&mut self, delta: i32) -> bool;
}

/// The shared tables, and what the platform gives.
pub trait Tables {
    /// `PORTS`.
    fn port(&self, index: u32) -> Option<&PortEntry>;
    /// `BUCKETS`.
    fn bucket(&self, index: u32) -> Option<&Bucket>;
    /// Has a slot on its way from memory, and waits for nothing.
    fn fetch(&self, slot: u32);
    /// `SESSIONS`.
    fn session(&self, slot: u32) -> Option<&Session>;
    /// `NEXT_HOPS`.
    fn next_hop(&self, index: u32) -> Option<&NextHop>;
    /// A word of the [`HashKey`](crate::HashKey).
    fn hash_word(&self, i: usize) -> u32;
    /// Number of buckets minus one.
    fn bucket_mask(&self) -> u32;
    /// Number of slots.
    fn slots(&self) -> u32;
    /// The clock of deadlines.
    fn jiffies(&self) -> u64;
    /// Adds one packet of `bytes` application bytes to a leg's counters.
    fn charge(&self, leg: &Leg, bytes: u64);
    /// Whether the meters of the leg a packet of `bytes` came by, and of the one it leaves by, let it pass at `now`
    /// ([`meter_time`](crate::meter_time)): see [`police`].
    fn admits(&self, arrival: [u32; 2], departure: [u32; 2], now: u64, bytes: u32) -> bool;
    /// Counts a packet that was over a limit.
    fn refuse(&self, session: &Session, leg: usize);
    /// Counts a packet of an RTP stream; `tick` is the low half of [`Tables::jiffies`].
    fn see(&self, streams: u32, header: &RtpHeader, bytes: u32, tick: u32);
    /// `PACES`.
    fn paces(&self) -> Option<&Paces>;
    /// `KNOWN`.
    fn known(&self, bucket: u32) -> Option<&KnownBucket>;
    /// Number of buckets of `KNOWN` minus one.
    fn known_mask(&self) -> u32;
    /// `PREFIXES`.
    fn prefix(&self, index: u32) -> Option<&Allowances>;
    /// `TOTALS`, of this CPU.
    fn total(&self) -> Option<&Allowances>;
    /// Counts a verdict.
    fn count(&self, reason: Counter);
}

/// What is to become of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// To the host, untouched.
    Pass,
    /// Out of the card it came in by.
    Transmit,
    /// Out of another card: the index in `CARDS`.
    Redirect(u32),
    /// Nowhere.
    Drop,
}

/// Decides about one frame, rewrites it if it is relayed, and counts the verdict.
#[inline(always)]
pub fn run(frame: &mut impl Frame, tables: &impl Tables) -> Verdict {
    match relay(frame, tables) {
        Ok(Verdict::Redirect(card)) => {
            tables.count(Counter::Redirected);
            Verdict::Redirect(card)
        }
        Ok(verdict) => {
            tables.count(Counter::Transmitted);
            verdict
        }
        Err(reason) => {
            tables.count(reason);
            if reason.is_drop() {
                Verdict::Drop
            } else {
                Verdict::Pass
            }
        }
    }
}

/// What a UDP payload to one of our ports is.
#[derive(Clone, Copy)]
enum Framing {
    /// Application bytes.
    Plain,
    /// A ChannelData header and application bytes.
    Channel,
}

/// A UDP packet to one of our ports whose lengths are right.
struct Packet {
    framing: Framing,
    /// Bytes of the UDP datagram.
    udp_length: u16,
    /// Application bytes: without ChannelData header and padding.
    data_length: u16,
}

impl Packet {
    /// All its headers.
    #[inline(always)]
    fn head<'f, H: Ip, const L3: usize>(&self, frame: &'f impl Frame) -> Result<Head<'f>, Counter> {
        let behind_udp = L3 + H::LEN + UDP_LEN as usize;
        let length = match self.framing {
            Framing::Plain => behind_udp,
            Framing::Channel => behind_udp + CHANNEL_LEN as usize,
        };
        frame.head(length).ok_or(Counter::BadLength)
    }
}

#[inline(always)]
fn relay(frame: &mut impl Frame, tables: &impl Tables) -> Result<Verdict, Counter> {
    let head = frame.head(ETHERNET_LEN).ok_or(Counter::NotIp)?;
    match head.get(offset_of!(Ethernet, ethertype)) {
        ETHERTYPE_IPV4 => classify::<V4, ETHERNET_LEN>(frame, tables),
        ETHERTYPE_IPV6 => classify::<V6, ETHERNET_LEN>(frame, tables),
        ETHERTYPE_VLAN => {
            let head = frame.head(ETHERNET_LEN + VLAN_LEN).ok_or(Counter::NotIp)?;
            match head.get(ETHERNET_LEN + offset_of!(Vlan, ethertype)) {
                ETHERTYPE_IPV4 => classify::<V4, { ETHERNET_LEN + VLAN_LEN }>(frame, tables),
                ETHERTYPE_IPV6 => classify::<V6, { ETHERNET_LEN + VLAN_LEN }>(frame, tables),
                _ => Err(Counter::NotIp),
            }
        }
        _ => Err(Counter::NotIp),
    }
}

/// `L3` is where the IP header starts: a constant, so that every later offset is one as well.
#[inline(always)]
fn classify<H: Ip, const L3: usize>(
    frame: &mut impl Frame,
    tables: &impl Tables,
) -> Result<Verdict, Counter> {
    let l4 = L3 + H::LEN;
    let Some(head) = frame.head(l4 + UDP_LEN as usize) else {
        let head = frame.head(l4).ok_or(Counter::NotIp)?;
        return Err(H::check(&head, L3).err().unwrap_or(Counter::BadLength));
    };
    H::check(&head, L3)?;
    let number = u16::from_be(head.get(l4 + offset_of!(Udp, destination)));
    let port = tables
        .port(port_index(H::IS_V6, number))
        .ok_or(Counter::NotOurs)?;
    if port.kind == 0 {
        return Err(shield::closed::<H, L3>(frame, tables, &head, number));
    }
    match ours::<H, L3>(frame, tables, port) {
        Err(reason @ (Counter::NotChannelData | Counter::NoSession | Counter::BadLength)) => {
            Err(shield::judge::<H, L3>(frame, tables, port, reason))
        }
        other => other,
    }
}

/// A UDP packet to one of our ports.
#[inline(always)]
fn ours<H: Ip, const L3: usize>(
    frame: &mut impl Frame,
    tables: &impl Tables,
    port: &PortEntry,
) -> Result<Verdict, Counter> {
    let l4 = L3 + H::LEN;
    let head = frame
        .head(l4 + UDP_LEN as usize)
        .ok_or(Counter::BadLength)?;
    let udp_length = u16::from_be(head.get(l4 + offset_of!(Udp, length)));
    if udp_length < UDP_LEN
        || udp_length != H::payload_length(&head, L3)
        || frame.length() < l4 + udp_length as usize
    {
        return Err(Counter::BadLength);
    }
    if port.kind & PORT_IS_CONTROL != 0 && udp_length >= UDP_LEN + CHANNEL_LEN {
        let l5 = l4 + UDP_LEN as usize;
        let head = frame
            .head(l5 + CHANNEL_LEN as usize)
            .ok_or(Counter::BadLength)?;
        if u16::from_be(head.get(l5)) & 0xc000 == 0x4000 {
            // Padding is optional over UDP: https://www.rfc-editor.org/rfc/rfc8656#section-12.5
            let data_length = u16::from_be(head.get(l5 + 2));
            let padding = (udp_length as u32)
                .wrapping_sub(data_length as u32 + UDP_LEN as u32 + CHANNEL_LEN as u32);
            if padding > 3 {
                return Err(Counter::BadLength);
            }
            let packet = Packet {
                framing: Framing::Channel,
                udp_length,
                data_length,
            };
            return forward::<H, L3>(frame, tables, port, &packet);
        }
    }
    if port.kind & PORT_IS_FLOW == 0 {
        return Err(Counter::NotChannelData);
    }
    let packet = Packet {
        framing: Framing::Plain,
        udp_length,
        data_length: udp_length - UDP_LEN,
    };
    forward::<H, L3>(frame, tables, port, &packet)
}

/// Once for each framing, which is a constant where this is inlined.
#[inline(always)]
fn forward<H: Ip, const L3: usize>(
    frame: &mut impl Frame,
    tables: &impl Tables,
    port: &PortEntry,
    packet: &Packet,
) -> Result<Verdict, Counter> {
    let head = packet.head::<H, L3>(frame)?;
    let wanted = lookup::Wanted {
        head,
        l3: L3,
        framing: packet.framing,
    };
    let found = lookup::find::<H>(&wanted, port, tables);
    let session = found.session.ok_or(Counter::NoSession)?;
    let arrival = &session.legs[(found.leg & 1) as usize];
    let departure = &session.legs[(found.leg & 1 ^ 1) as usize];
    let now = tables.jiffies();
    if arrival.deadline <= now {
        return Err(Counter::Expired);
    }
    let next_hop = tables
        .next_hop(departure.next_hop)
        .ok_or(Counter::NoNextHop)?;
    if H::hop_limit(&head, L3) <= 1 {
        return Err(Counter::HopLimit);
    }
    if next_hop.ifindex == 0 {
        return Err(Counter::NoNextHop);
    }
    let vlan = if L3 == ETHERNET_LEN {
        VLAN_NONE
    } else {
        u16::from_be(head.get(ETHERNET_LEN + offset_of!(Vlan, tci))) & VLAN_ID_MASK
    };
    if next_hop.vlan != vlan {
        return Err(Counter::VlanChange);
    }
    let pushed = if departure.matches.channel != 0 {
        CHANNEL_LEN as u32
    } else {
        0
    };
    let udp_length = packet.data_length as u32 + UDP_LEN as u32 + pushed;
    let leaves_by_v6 = departure.matches.family == V6::FAMILY;
    let ip_length = if leaves_by_v6 { V6::LEN } else { V4::LEN } as u32;
    if udp_length + ip_length > next_hop.mtu as u32 {
        return Err(Counter::TooBig);
    }
    let l4 = L3 + H::LEN;
    match head.get::<u16>(l4 + offset_of!(Udp, checksum)) {
        0 if H::IS_V6 || leaves_by_v6 => return Err(Counter::ZeroChecksum),
        0 => {}
        checksum => {
            let length: u16 = head.get(l4 + offset_of!(Udp, length));
            if checksum == checksum::fold32(arrival.pseudo_sum as u32 + length as u32) {
                complete::complete::<H, L3>(frame, packet, next_hop, checksum)?;
            }
        }
    }
    let bytes = packet.data_length as u32;
    if police::is_metered(arrival, departure)
        && !tables.admits(arrival.meters, departure.meters, meter_time(now), bytes)
    {
        tables.refuse(session, (found.leg & 1) as usize);
        return Err(Counter::RateLimited);
    }
    if arrival.streams != 0 {
        media::see::<H, L3>(frame, tables, packet, arrival.streams, now);
    }
    let recipe = Recipe {
        arrival,
        departure,
        next_hop,
        udp_length: udp_length as u16,
    };
    if leaves_by_v6 {
        rewrite::rewrite::<H, V6, L3>(frame, packet, &recipe)?;
    } else {
        rewrite::rewrite::<H, V4, L3>(frame, packet, &recipe)?;
    }
    tables.charge(arrival, packet.data_length as u64);
    if next_hop.ifindex == frame.ingress() {
        Ok(Verdict::Transmit)
    } else {
        Ok(Verdict::Redirect(next_hop.card))
    }
}
