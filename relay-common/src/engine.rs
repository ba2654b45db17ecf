//! The data path, once, for the kernel and for the host: parse, classify, look up, decide, rewrite.
//!
//! Every check that can fail comes before the first byte changes: an `Err` leaves the frame as it came and names
//! the counter of its reason. Nothing here knows TURN; ChannelData is a 4-byte header that one leg has or has not.

mod ip;
mod lookup;
mod rewrite;

use crate::wire::{
    CHANNEL_LEN, Channel, ETHERNET_LEN, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, Ethernet,
    Ipv4, Ipv6, UDP_LEN, Udp, VLAN_ID_MASK, VLAN_LEN, Vlan,
};
use crate::{
    Bucket, Counter, Leg, NextHop, PORT_IS_CONTROL, PORT_IS_FLOW, Pod, PortEntry, Session,
};
use crate::{VLAN_NONE, checksum, port_index};

use ip::Ip;

/// A packet in memory, starting at its Ethernet header.
pub trait Frame {
    /// Bytes from the first to the last.
    fn length(&self) -> usize;
    /// Interface it came in by.
    fn ingress(&self) -> u32;
    /// The header at `offset`, if all of it is there.
    fn load<T: Pod>(&self, offset: usize) -> Option<T>;
    /// The byte `offset` behind `base`: a constant, and something below 32768 that is not.
    fn byte(&self, base: usize, offset: usize) -> Option<u8>;
    /// Writes a header at `offset`; `None` if it does not fit.
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()>;
    /// Moves the start by `delta` bytes, forward when positive. Changes nothing when it returns false.
    fn move_start(&mut self, delta: i32) -> bool;
}

/// The shared tables, and what the platform gives.
pub trait Tables {
    /// `PORTS`.
    fn port(&self, index: u32) -> Option<&PortEntry>;
    /// `BUCKETS`.
    fn bucket(&self, index: u32) -> Option<&Bucket>;
    /// `SESSIONS`.
    fn session(&self, slot: u32) -> Option<&Session>;
    /// `NEXT_HOPS`.
    fn next_hop(&self, index: u32) -> Option<&NextHop>;
    /// A word of the [`HashKey`](crate::HashKey).
    fn hash_word(&self, i: usize) -> u32;
    /// Number of buckets minus one.
    fn bucket_mask(&self) -> u32;
    /// The clock of deadlines.
    fn jiffies(&self) -> u64;
    /// Adds one packet of `bytes` application bytes to a leg's counters.
    fn charge(&self, leg: &Leg, bytes: u64);
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
        Err(Counter::RewriteFault) => {
            tables.count(Counter::RewriteFault);
            Verdict::Drop
        }
        Err(reason) => {
            tables.count(reason);
            Verdict::Pass
        }
    }
}

/// A UDP packet to one of our ports, with all its checks behind it but those that need its session.
struct Packet<H> {
    ip: H,
    udp: Udp,
    /// Its VLAN tag, if it has one.
    tci: u16,
    /// Its ChannelData header; number 0 if it is not ChannelData.
    channel: Channel,
    /// Bytes of the UDP datagram, host order.
    udp_length: u16,
    /// Application bytes: without ChannelData header and padding.
    data_length: u16,
}

#[inline(always)]
fn relay(frame: &mut impl Frame, tables: &impl Tables) -> Result<Verdict, Counter> {
    let ethernet: Ethernet = frame.load(0).ok_or(Counter::NotIp)?;
    match ethernet.ethertype {
        ETHERTYPE_IPV4 => relay_ip::<Ipv4, ETHERNET_LEN>(frame, tables, 0),
        ETHERTYPE_IPV6 => relay_ip::<Ipv6, ETHERNET_LEN>(frame, tables, 0),
        ETHERTYPE_VLAN => {
            let vlan: Vlan = frame.load(ETHERNET_LEN).ok_or(Counter::NotIp)?;
            match vlan.ethertype {
                ETHERTYPE_IPV4 => {
                    relay_ip::<Ipv4, { ETHERNET_LEN + VLAN_LEN }>(frame, tables, vlan.tci)
                }
                ETHERTYPE_IPV6 => {
                    relay_ip::<Ipv6, { ETHERNET_LEN + VLAN_LEN }>(frame, tables, vlan.tci)
                }
                _ => Err(Counter::NotIp),
            }
        }
        _ => Err(Counter::NotIp),
    }
}

/// `L3` is where the IP header starts: a constant, so that every later offset is one as well.
#[inline(always)]
fn relay_ip<H: Ip, const L3: usize>(
    frame: &mut impl Frame,
    tables: &impl Tables,
    tci: u16,
) -> Result<Verdict, Counter> {
    let ip: H = frame.load(L3).ok_or(Counter::NotIp)?;
    ip.check()?;
    let udp: Udp = frame.load(L3 + H::LEN).ok_or(Counter::BadLength)?;
    let port = tables
        .port(port_index(H::IS_V6, u16::from_be(udp.destination)))
        .ok_or(Counter::NotOurs)?;
    if port.kind == 0 {
        return Err(Counter::NotOurs);
    }
    let packet = classify::<H, L3>(frame, ip, udp, tci, port.kind)?;
    let found = lookup::find(&packet, port, tables);
    let session = found.session.ok_or(Counter::NoSession)?;
    let arrival = &session.legs[(found.leg & 1) as usize];
    let departure = &session.legs[(found.leg & 1 ^ 1) as usize];
    if arrival.deadline <= tables.jiffies() {
        return Err(Counter::Expired);
    }
    let next_hop = tables
        .next_hop(departure.next_hop)
        .ok_or(Counter::NoNextHop)?;
    if departure.matches.family != H::FAMILY {
        return Err(Counter::FamilyChange);
    }
    if packet.ip.hop_limit() <= 1 {
        return Err(Counter::HopLimit);
    }
    if next_hop.ifindex == 0 {
        return Err(Counter::NoNextHop);
    }
    let vlan = if L3 == ETHERNET_LEN {
        VLAN_NONE
    } else {
        u16::from_be(tci) & VLAN_ID_MASK
    };
    if next_hop.vlan != vlan {
        return Err(Counter::VlanChange);
    }
    let new_udp_length = packet.data_length as u32
        + UDP_LEN as u32
        + if departure.matches.channel != 0 {
            CHANNEL_LEN as u32
        } else {
            0
        };
    if new_udp_length + H::LEN as u32 > next_hop.mtu as u32 {
        return Err(Counter::TooBig);
    }
    let pseudo = packet.ip.pseudo_header(packet.udp.length);
    if packet.udp.checksum == 0 {
        if H::IS_V6 {
            return Err(Counter::ZeroChecksum);
        }
    } else if packet.udp.checksum == checksum::fold(pseudo) {
        return Err(Counter::PartialChecksum);
    }
    rewrite::rewrite::<H, L3>(
        frame,
        &packet,
        arrival,
        departure,
        next_hop,
        new_udp_length as u16,
    )?;
    tables.charge(arrival, packet.data_length as u64);
    if next_hop.ifindex == frame.ingress() {
        Ok(Verdict::Transmit)
    } else {
        Ok(Verdict::Redirect(next_hop.card))
    }
}

#[inline(always)]
fn classify<H: Ip, const L3: usize>(
    frame: &impl Frame,
    ip: H,
    udp: Udp,
    tci: u16,
    kind: u32,
) -> Result<Packet<H>, Counter> {
    let udp_length = u16::from_be(udp.length);
    if udp_length < UDP_LEN
        || udp_length != ip.payload_length()
        || frame.length() < L3 + H::LEN + udp_length as usize
    {
        return Err(Counter::BadLength);
    }
    if kind & PORT_IS_CONTROL != 0 && udp_length >= UDP_LEN + CHANNEL_LEN {
        let channel: Channel = frame
            .load(L3 + H::LEN + UDP_LEN as usize)
            .ok_or(Counter::BadLength)?;
        if u16::from_be(channel.number) & 0xc000 == 0x4000 {
            // Padding is optional over UDP: https://www.rfc-editor.org/rfc/rfc8656#section-12.5
            let data_length = u16::from_be(channel.length);
            let padding = (udp_length as u32)
                .wrapping_sub(data_length as u32 + UDP_LEN as u32 + CHANNEL_LEN as u32);
            if padding > 3 {
                return Err(Counter::BadLength);
            }
            return Ok(Packet {
                ip,
                udp,
                tci,
                channel,
                udp_length,
                data_length,
            });
        }
    }
    if kind & PORT_IS_FLOW == 0 {
        return Err(Counter::NotChannelData);
    }
    Ok(Packet {
        ip,
        udp,
        tci,
        channel: Channel {
            number: 0,
            length: 0,
        },
        udp_length,
        data_length: udp_length - UDP_LEN,
    })
}
