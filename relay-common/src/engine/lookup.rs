//! From a packet to its session. Never writes. The slot is guessed and asked of memory before the index says which it is.

use super::head::Head;
use super::ip::Ip;
use super::{Framing, Tables};
use crate::{IndexEntry, PORT_IS_OPEN, Place, PortEntry, Session, pair};

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

/// A packet as its match sees it: where its IP header starts, and its channel.
pub struct Wanted<'f> {
    pub head: Head<'f>,
    pub l3: usize,
    pub framing: Framing,
}

impl Wanted<'_> {
    /// The sender's and our port, as they lie in the packet.
    #[inline(always)]
    fn ports<H: Ip>(&self) -> u32 {
        self.head.get(self.l3 + H::LEN)
    }
    #[inline(always)]
    fn channel_family<H: Ip>(&self) -> u32 {
        let channel = match self.framing {
            Framing::Channel => self.head.get(self.l3 + H::LEN + 8),
            Framing::Plain => 0,
        };
        pair(channel, H::FAMILY)
    }
    /// As [`Match::ends`](crate::Match::ends).
    #[inline(always)]
    fn ends<H: Ip>(&self) -> u64 {
        pair(self.ports::<H>(), self.channel_family::<H>())
    }
}

#[inline(always)]
pub fn find<'t, H: Ip>(wanted: &Wanted, port: &PortEntry, tables: &'t impl Tables) -> Found<'t> {
    if matches!(wanted.framing, Framing::Plain) && port.generation != 0 {
        let found = accept::<H>(wanted, port.slot, port.generation, port.leg, tables);
        if found.session.is_some() {
            return found;
        }
    }
    let [remote, local] = H::addresses(&wanted.head, wanted.l3);
    let place = Place::of(
        wanted.ports::<H>(),
        wanted.channel_family::<H>(),
        if H::IS_V6 { 4 } else { 1 },
        &remote,
        &local,
        tables.bucket_mask(),
        |i| tables.hash_word(i),
    );
    if is_from_client(wanted, port) {
        tables.fetch(place.guess(tables.slots()));
    }
    let found = search::<H>(wanted, place.first, place.tag, tables);
    if found.session.is_some() {
        return found;
    }
    search::<H>(wanted, place.second, place.tag, tables)
}

/// Whether it comes by the leg its session is placed by. A relayed address hears peers.
#[inline(always)]
fn is_from_client(wanted: &Wanted, port: &PortEntry) -> bool {
    matches!(wanted.framing, Framing::Channel) || port.kind & PORT_IS_OPEN != 0
}

#[inline(always)]
fn search<'t, H: Ip>(wanted: &Wanted, bucket: u32, tag: u16, tables: &'t impl Tables) -> Found<'t> {
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
    wanted: &Wanted,
    slot: u32,
    generation: u32,
    leg: u32,
    tables: &'t impl Tables,
) -> Found<'t> {
    let Some(session) = tables.session(slot) else {
        return NOTHING;
    };
    let m = &session.legs[(leg & 1) as usize].matches;
    if session.generation == generation
        && m.ends() == wanted.ends::<H>()
        && H::matches(&wanted.head, wanted.l3, m)
    {
        Found {
            session: Some(session),
            leg,
        }
    } else {
        NOTHING
    }
}
