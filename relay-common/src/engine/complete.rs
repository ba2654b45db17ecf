//! UDP checksums that a sender left to hardware there is none of: containers and machines on the same host, whose
//! packets hold the sum of the pseudo header where the checksum belongs. Only packets that look so come here.

use core::mem::offset_of;

use super::ip::Ip;
use super::{Frame, Packet};
use crate::wire::Udp;
use crate::{Counter, NextHop, checksum};

/// `pseudo`, which the packet holds where its checksum belongs, is its checksum by chance, or else is made to be it.
/// Frames that then do not find room are passed with it: the host knows that they need none, and takes either.
#[inline(always)]
pub fn complete<H: Ip, const L3: usize>(
    frame: &mut impl Frame,
    packet: &Packet,
    next_hop: &NextHop,
    pseudo: u16,
) -> Result<(), Counter> {
    let l4 = L3 + H::LEN;
    let sum = frame
        .sum(l4, packet.udp_length)
        .ok_or(Counter::PartialChecksum)?;
    if checksum::fold32(sum as u32 + pseudo as u32) == 0xffff {
        return Ok(());
    }
    if next_hop.completes == 0 {
        return Err(Counter::PartialChecksum);
    }
    // The sum of the datagram holds that of the pseudo header already: it lies in it.
    frame
        .store(l4 + offset_of!(Udp, checksum), checksum::never_zero(!sum))
        .ok_or(Counter::BadLength)
}
