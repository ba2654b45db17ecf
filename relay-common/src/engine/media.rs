//! Recognises RTP (RFC 3550) and hands its header to the statistics. Never keeps a packet from going on.

use super::ip::Ip;
use super::{Frame, Framing, Packet, Tables};
use crate::RtpHeader;
use crate::wire::{CHANNEL_LEN, UDP_LEN};

/// Bytes of the fixed RTP header.
const RTP_LEN: usize = 12;

/// Once for each framing, which is a constant where this is inlined.
#[inline(always)]
pub fn see<H: Ip, const L3: usize>(
    frame: &impl Frame,
    tables: &impl Tables,
    packet: &Packet,
    streams: u32,
    now: u64,
) {
    let start = match packet.framing {
        Framing::Plain => L3 + H::LEN + UDP_LEN as usize,
        Framing::Channel => L3 + H::LEN + UDP_LEN as usize + CHANNEL_LEN as usize,
    };
    if (packet.data_length as usize) < RTP_LEN {
        return;
    }
    let Some(head) = frame.head(start + RTP_LEN) else {
        return;
    };
    let first = u16::from_be(head.get(start));
    // Version 2; what would be RTCP where both share a port is no RTP: RFC 5761 section 4.
    if first >> 14 != 2 || (192..=223).contains(&(first & 0xff)) {
        return;
    }
    let header = RtpHeader {
        sequence: u16::from_be(head.get(start + 2)),
        payload_type: first & 0x7f,
        timestamp: u32::from_be(head.get(start + 4)),
        ssrc: u32::from_be(head.get(start + 8)),
    };
    tables.see(streams, &header, packet.data_length as u32, now as u32);
}
