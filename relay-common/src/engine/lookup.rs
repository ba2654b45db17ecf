//! From a packet to the two legs of its session. Never writes.

use super::ip::Ip;
use super::{Packet, Tables};
use crate::{Counter, IndexEntry, Leg, Match, Place, PortEntry, Session};

/// The leg a packet arrived on and the one it leaves by.
pub struct Found<'t> {
    pub legs: [&'t Leg; 2],
}

#[inline(always)]
pub fn find<'t, H: Ip>(packet: &Packet<H>, port: &PortEntry, tables: &'t impl Tables) -> Result<Found<'t>, Counter> {
    let mut wanted = Match {
        remote_port: packet.udp.source,
        local_port: packet.udp.destination,
        channel: match packet.channel {
            Some(channel) => channel.number,
            None => 0,
        },
        family: H::FAMILY,
        ..Match::default()
    };
    packet.ip.addresses(&mut wanted);
    if packet.channel.is_none() && port.generation != 0 {
        if let Some(found) = accept::<H>(&wanted, port.slot, port.generation, port.leg, tables) {
            return live(found, tables);
        }
    }
    let place = Place::of(&wanted, tables.bucket_mask(), |i| tables.hash_word(i));
    if let Some(found) = search::<H>(&wanted, place.first, place.tag, tables) {
        return live(found, tables);
    }
    match search::<H>(&wanted, place.second, place.tag, tables) {
        Some(found) => live(found, tables),
        None => Err(Counter::NoSession),
    }
}

#[inline(always)]
fn live<'t>(found: Found<'t>, tables: &impl Tables) -> Result<Found<'t>, Counter> {
    if found.legs[0].deadline <= tables.jiffies() {
        return Err(Counter::Expired);
    }
    Ok(found)
}

#[inline(always)]
fn search<'t, H: Ip>(wanted: &Match, bucket: u32, tag: u16, tables: &'t impl Tables) -> Option<Found<'t>> {
    let bucket = tables.bucket(bucket)?;
    for word in &bucket.0 {
        let entry = IndexEntry(*word);
        if entry.tag() == tag && entry.generation() != 0 {
            if let Some(found) = accept::<H>(wanted, entry.slot(), entry.generation(), entry.leg(), tables) {
                return Some(found);
            }
        }
    }
    None
}

/// The slot's own word on whether it is this packet's session: a recycled slot or a colliding hash ends here.
#[inline(always)]
fn accept<'t, H: Ip>(
    wanted: &Match,
    slot: u32,
    generation: u32,
    leg: u32,
    tables: &'t impl Tables,
) -> Option<Found<'t>> {
    let session: &Session = tables.session(slot)?;
    let [near, far] = &session.legs;
    let legs = if leg & 1 == 0 { [near, far] } else { [far, near] };
    let m = &legs[0].matches;
    let same = session.generation == generation
        && m.remote_port == wanted.remote_port
        && m.local_port == wanted.local_port
        && m.channel == wanted.channel
        && m.family == wanted.family
        && H::same_addresses(m, wanted);
    if same { Some(Found { legs }) } else { None }
}
