//! The only writer: moves the start of the frame, then writes every header afresh.

use core::mem::offset_of;

use super::head::Head;
use super::ip::Ip;
use super::{Frame, Framing, Packet};
use crate::wire::{CHANNEL_LEN, ETHERNET_LEN, ETHERTYPE_VLAN, Ethernet, UDP_LEN, Udp, VLAN_LEN};
use crate::{Counter, Leg, NextHop, checksum};

/// Everything a packet is sent on with.
pub struct Recipe<'t> {
    pub arrival: &'t Leg,
    pub departure: &'t Leg,
    pub next_hop: &'t NextHop,
    /// Bytes of the outgoing UDP datagram.
    pub udp_length: u16,
}

/// Turns a packet that came with an `H` header into one with an `O` header.
/// Fails with `NoRoom` before anything is written, or not at all.
#[inline(always)]
pub fn rewrite<H: Ip, O: Ip, const L3: usize>(
    frame: &mut impl Frame,
    packet: &Packet,
    recipe: &Recipe,
) -> Result<(), Counter> {
    let departure = &recipe.departure.matches;
    let head = packet.head::<H, L3>(frame)?;
    let checksum = udp_checksum::<H, L3>(frame, &head, packet, recipe)?;
    let kept = H::keep(&head, L3);
    let tci: u16 = if L3 == ETHERNET_LEN {
        0
    } else {
        head.get(ETHERNET_LEN)
    };

    let popped = match packet.framing {
        Framing::Channel => CHANNEL_LEN as i32,
        Framing::Plain => 0,
    };
    let pushed = if departure.channel != 0 {
        CHANNEL_LEN as i32
    } else {
        0
    };
    let shift = popped + H::LEN as i32 - pushed - O::LEN as i32;
    if shift != 0 && !frame.move_start(shift) {
        return Err(Counter::NoRoom);
    }

    let l4 = L3 + O::LEN;
    let mut head = frame
        .head_mut(l4 + UDP_LEN as usize)
        .ok_or(Counter::RewriteFault)?;
    let macs = recipe.next_hop.macs();
    head.put(0, macs[0]);
    head.put(4, macs[1]);
    head.put(8, macs[2]);
    if L3 == ETHERNET_LEN {
        head.put(offset_of!(Ethernet, ethertype), O::ETHERTYPE);
    } else {
        head.put(offset_of!(Ethernet, ethertype), ETHERTYPE_VLAN);
        head.put(ETHERNET_LEN, tci);
        head.put(ETHERNET_LEN + VLAN_LEN - 2, O::ETHERTYPE);
    }
    if H::IS_V6 == O::IS_V6 {
        H::forward(kept, recipe, &mut head, L3);
    } else {
        O::originate(H::traffic(&kept), recipe, &mut head, L3);
    }
    head.put(l4 + offset_of!(Udp, source), departure.local_port);
    head.put(l4 + offset_of!(Udp, destination), departure.remote_port);
    head.put(l4 + offset_of!(Udp, length), recipe.udp_length.to_be());
    head.put(l4 + offset_of!(Udp, checksum), checksum);
    if departure.channel != 0 {
        let mut head = frame
            .head_mut(l4 + (UDP_LEN + CHANNEL_LEN) as usize)
            .ok_or(Counter::RewriteFault)?;
        head.put(l4 + UDP_LEN as usize, departure.channel);
        head.put(l4 + UDP_LEN as usize + 2, packet.data_length.to_be());
    }
    Ok(())
}

/// RFC 1624, from what is known of the session and what differs from packet to packet.
#[inline(always)]
fn udp_checksum<H: Ip, const L3: usize>(
    frame: &impl Frame,
    head: &Head,
    packet: &Packet,
    recipe: &Recipe,
) -> Result<u16, Counter> {
    let l4 = L3 + H::LEN;
    let old_length: u16 = head.get(l4 + offset_of!(Udp, length));
    let mut delta = recipe.arrival.checksum_delta as u32
        // The UDP length counts twice: in the header and in the pseudo header.
        + 2 * (!old_length as u32 + recipe.udp_length.to_be() as u32);
    if let Framing::Channel = packet.framing {
        let number: u16 = head.get(l4 + UDP_LEN as usize);
        let length: u16 = head.get(l4 + UDP_LEN as usize + 2);
        delta += !number as u32 + !length as u32;
        if packet.udp_length != packet.data_length + UDP_LEN + CHANNEL_LEN {
            delta += padding::<H, L3>(frame, packet)?;
        }
    }
    let number = recipe.departure.matches.channel;
    if number != 0 {
        delta += number as u32 + packet.data_length.to_be() as u32;
    }
    Ok(match head.get(l4 + offset_of!(Udp, checksum)) {
        0 => 0,
        old => checksum::never_zero(checksum::adjust(old, delta)),
    })
}

/// What the padding behind ChannelData takes from the checksum: it is cut off by the new length, not forwarded.
#[inline(always)]
fn padding<H: Ip, const L3: usize>(frame: &impl Frame, packet: &Packet) -> Result<u32, Counter> {
    let unpadded = UDP_LEN as u32 + CHANNEL_LEN as u32 + packet.data_length as u32;
    let mut delta = 0;
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
            delta += !u16::from_ne_bytes(word) as u32;
        }
    }
    Ok(delta)
}
