//! The only writer: moves the start of the frame, then writes every header afresh.

use super::ip::Ip;
use super::{Frame, Packet};
use crate::wire::{CHANNEL_LEN, Channel, ETHERNET_LEN, Ethernet, UDP_LEN, Udp};
use crate::wire::{ETHERTYPE_VLAN, Vlan};
use crate::{Counter, Leg, NextHop, checksum};

/// Fails with `NoRoom` before anything is written, or not at all.
#[inline(always)]
pub fn rewrite<H: Ip, const L3: usize>(
    frame: &mut impl Frame,
    packet: &Packet<H>,
    arrival: &Leg,
    departure: &Leg,
    next_hop: &NextHop,
    udp_length: u16,
) -> Result<(), Counter> {
    let number = departure.matches.channel;
    let length = udp_length.to_be();
    let mut delta = arrival.checksum_delta as u64
        // The UDP length counts twice: in the header and in the pseudo header.
        + 2 * (!packet.udp.length as u64 + length as u64);
    if packet.channel.number != 0 {
        delta += !packet.channel.number as u64 + !packet.channel.length as u64;
        delta += padding::<H, L3>(frame, packet)?;
    }
    let data_length = packet.data_length.to_be();
    if number != 0 {
        delta += number as u64 + data_length as u64;
    }
    let checksum = match packet.udp.checksum {
        0 => 0,
        old => checksum::never_zero(checksum::adjust(old, delta)),
    };
    let ip = packet
        .ip
        .forwarded(&departure.matches, arrival.header_delta, udp_length);
    let (destination, source) = (halves(&next_hop.destination), halves(&next_hop.source));

    let popped = if packet.channel.number != 0 {
        CHANNEL_LEN as i32
    } else {
        0
    };
    let pushed = if number != 0 { CHANNEL_LEN as i32 } else { 0 };
    if popped != pushed && !frame.move_start(popped - pushed) {
        return Err(Counter::NoRoom);
    }

    let udp = Udp {
        source: departure.matches.local_port,
        destination: departure.matches.remote_port,
        length,
        checksum,
    };
    let ethernet = Ethernet {
        destination,
        source,
        ethertype: if L3 == ETHERNET_LEN {
            H::ETHERTYPE
        } else {
            ETHERTYPE_VLAN
        },
    };
    frame.store(0, ethernet).ok_or(Counter::RewriteFault)?;
    if L3 != ETHERNET_LEN {
        frame
            .store(
                ETHERNET_LEN,
                Vlan {
                    tci: packet.tci,
                    ethertype: H::ETHERTYPE,
                },
            )
            .ok_or(Counter::RewriteFault)?;
    }
    frame.store(L3, ip).ok_or(Counter::RewriteFault)?;
    frame.store(L3 + H::LEN, udp).ok_or(Counter::RewriteFault)?;
    if number != 0 {
        let channel = Channel {
            number,
            length: data_length,
        };
        frame
            .store(L3 + H::LEN + UDP_LEN as usize, channel)
            .ok_or(Counter::RewriteFault)?;
    }
    Ok(())
}

/// What the padding behind ChannelData takes from the checksum: it is cut off by the new length, not forwarded.
#[inline(always)]
fn padding<H: Ip, const L3: usize>(frame: &impl Frame, packet: &Packet<H>) -> Result<u64, Counter> {
    let unpadded = UDP_LEN as u32 + CHANNEL_LEN as u32 + packet.data_length as u32;
    let mut delta = 0u64;
    for offset in unpadded..unpadded + 3 {
        if offset < packet.udp_length as u32 {
            let byte = frame
                .byte(L3 + H::LEN, offset as usize)
                .ok_or(Counter::BadLength)?;
            let word = if offset & 1 == 0 {
                [byte, 0]
            } else {
                [0, byte]
            };
            delta += !u16::from_ne_bytes(word) as u64;
        }
    }
    Ok(delta)
}

#[inline(always)]
fn halves(mac: &[u8; 6]) -> [u16; 3] {
    [
        u16::from_ne_bytes([mac[0], mac[1]]),
        u16::from_ne_bytes([mac[2], mac[3]]),
        u16::from_ne_bytes([mac[4], mac[5]]),
    ]
}
