//! From a packet to its session. Never writes.

use super::ip::Ip;
use super::{Packet, Tables};
use crate::{IndexEntry, Match, Place, PortEntry, Session};

/// The session a packet belongs to, and the leg it arrived on.
///
/// Always whole: in an `Option` of it the unused fields would be undefined, which the verifier refuses to copy.
#[derive(Clone, Copy)]
pub struct Found<'t> {
    pub session: Option<&'t Session>,
    pub leg: u32,
}

const NOTHING: Found<'static> = Found {
    session: None,
    leg: 0,
};

#[inline(always)]
pub fn find<'t, H: Ip>(packet: &Packet<H>, port: &PortEntry, tables: &'t impl Tables) -> Found<'t> {
    let mut wanted = Match {
        remote_port: packet.udp.source,
        local_port: packet.udp.destination,
        channel: packet.channel.number,
        family: H::FAMILY,
        ..Match::default()
    };
    packet.ip.addresses(&mut wanted);
    if packet.channel.number == 0 && port.generation != 0 {
        let found = accept::<H>(&wanted, port.slot, port.generation, port.leg, tables);
        if found.session.is_some() {
            return found;
        }
    }
    let place = Place::of(&wanted, tables.bucket_mask(), |i| tables.hash_word(i));
    let found = search::<H>(&wanted, place.first, place.tag, tables);
    if found.session.is_some() {
        return found;
    }
    search::<H>(&wanted, place.second, place.tag, tables)
}

#[inline(always)]
fn search<'t, H: Ip>(wanted: &Match, bucket: u32, tag: u16, tables: &'t impl Tables) -> Found<'t> {
    let Some(bucket) = tables.bucket(bucket) else {
        return NOTHING;
    };
    for word in &bucket.0 {
        let entry = IndexEntry(*word);
        if entry.tag() == tag && entry.generation() != 0 {
            let found = accept::<H>(
                wanted,
                entry.slot(),
                entry.generation(),
                entry.leg(),
                tables,
            );
            if found.session.is_some() {
                return found;
            }
        }
    }
    NOTHING
}

/// The slot's own word on whether it is this packet's session: a recycled slot or a colliding hash ends here.
#[inline(always)]
fn accept<'t, H: Ip>(
    wanted: &Match,
    slot: u32,
    generation: u32,
    leg: u32,
    tables: &'t impl Tables,
) -> Found<'t> {
    let Some(session) = tables.session(slot) else {
        return NOTHING;
    };
    let m = &session.legs[(leg & 1) as usize].matches;
    let same = session.generation == generation
        && m.remote_port == wanted.remote_port
        && m.local_port == wanted.local_port
        && m.channel == wanted.channel
        && m.family == wanted.family
        && H::same_addresses(m, wanted);
    if same {
        Found {
            session: Some(session),
            leg,
        }
    } else {
        NOTHING
    }
}
