//! The last word on packets to our ports that nothing in the kernel relays: up to userspace, or, over a limit, nowhere.
//! Established sessions never come here.

use super::head::Head;
use super::ip::Ip;
use super::{Frame, Tables};
use crate::shield::{self, KnownPlace, OWN_PORT, Pace, Paces, shield_time};
use crate::wire::{UDP_LEN, Udp};
use crate::{Counter, PORT_IS_CONTROL, PORT_IS_OPEN, PortEntry};
use core::mem::offset_of;

/// Bytes of a UDP payload that tell what it is.
const TOLD_BY: usize = 8;
const MAGIC_COOKIE: u32 = 0x2112_a442u32.to_be();

/// The reason under which the packet is passed or dropped; `reason` is why it is not relayed.
#[inline(always)]
pub fn judge<H: Ip, const L3: usize>(
    frame: &impl Frame,
    tables: &impl Tables,
    port: &PortEntry,
    reason: Counter,
) -> Counter {
    let (Some(paces), Some(head)) = (tables.paces(), frame.head(L3 + H::LEN + UDP_LEN as usize))
    else {
        return reason;
    };
    if paces.known.cost == 0 {
        return reason;
    }
    if !is_to_this_host::<H, L3>(&head, tables) {
        return reason;
    }
    let now = shield_time(tables.jiffies());
    let to_control = port.kind & PORT_IS_CONTROL != 0;
    let is_open = port.kind & PORT_IS_OPEN != 0;
    let is_stun = to_control && is_stun::<H, L3>(frame);
    let l4 = L3 + H::LEN;
    // In a connection to a forward or to TURN the port is the client's own; a permission is for all ports of a peer.
    let remote_port = if to_control || is_open {
        u16::from_be(head.get(l4 + offset_of!(Udp, source)))
    } else {
        0
    };
    let local_port = if to_control {
        0
    } else {
        u16::from_be(head.get(l4 + offset_of!(Udp, destination)))
    };
    // Whoever is known, what is neither STUN nor ChannelData is junk: the classification of TURN's ports left nothing else.
    if is_stun || !matches!(reason, Counter::NotChannelData) {
        let known = known::<H, L3>(&head, tables, remote_port, local_port, paces.known, now);
        if known != UNKNOWN {
            return if known == ADMITTED {
                reason
            } else {
                Counter::ShieldKnown
            };
        }
    }
    if is_stun {
        let known = known::<H, L3>(&head, tables, 0, 0, paces.address, now);
        if known != UNKNOWN {
            return if known == ADMITTED {
                reason
            } else {
                Counter::ShieldKnown
            };
        }
    }
    let may_begin = is_stun || is_open && !to_control;
    stranger::<H, L3>(&head, tables, paces, may_begin, now, reason)
}

/// The reason under which a packet is passed or dropped that is for no port of ours. Ports of the range may be anybody's
/// while the relay does not use them, so a socket of the host has the last word.
#[inline(always)]
pub fn closed<H: Ip, const L3: usize>(
    frame: &impl Frame,
    tables: &impl Tables,
    head: &Head,
    port: u16,
) -> Counter {
    let Some(paces) = tables.paces() else {
        return Counter::NotOurs;
    };
    // The range is 0 to 0 while the shield is down.
    if (port as u32) < paces.range[0] || port as u32 > paces.range[1] {
        return Counter::NotOurs;
    }
    let Some(total) = tables.total() else {
        return Counter::NotOurs;
    };
    if total
        .closed
        .admit(paces.closed, shield_time(tables.jiffies()))
        || !is_to_this_host::<H, L3>(head, tables)
    {
        return Counter::NotOurs;
    }
    let [from, to] = H::addresses(head, L3);
    if frame.has_socket(H::IS_V6, &from, &to, head.get(L3 + H::LEN)) {
        Counter::NotOurs
    } else {
        Counter::ShieldClosed
    }
}

/// A router sees packets of others to ports like ours.
#[inline(always)]
fn is_to_this_host<H: Ip, const L3: usize>(head: &Head, tables: &impl Tables) -> bool {
    let [_, local] = H::addresses(head, L3);
    let mask = tables.known_mask();
    let place = KnownPlace::of(&local, H::IS_V6, OWN_PORT, OWN_PORT, mask, |i| {
        tables.hash_word(i)
    });
    holds(tables, place.first, place.tag) || holds(tables, place.second, place.tag)
}

#[inline(always)]
fn holds(tables: &impl Tables, bucket: u32, tag: u32) -> bool {
    let Some(bucket) = tables.known(bucket) else {
        return false;
    };
    for known in &bucket.0 {
        if known.tag.get() == tag {
            return true;
        }
    }
    false
}

const UNKNOWN: u32 = 0;
const ADMITTED: u32 = 1;
const REFUSED: u32 = 2;

#[inline(always)]
fn known<H: Ip, const L3: usize>(
    head: &Head,
    tables: &impl Tables,
    remote_port: u16,
    local_port: u16,
    pace: Pace,
    now: u32,
) -> u32 {
    let [remote, _] = H::addresses(head, L3);
    let place = KnownPlace::of(
        &remote,
        H::IS_V6,
        remote_port,
        local_port,
        tables.known_mask(),
        |i| tables.hash_word(i),
    );
    match search(tables, place.first, place.tag, pace, now) {
        UNKNOWN => search(tables, place.second, place.tag, pace, now),
        found => found,
    }
}

#[inline(always)]
fn search(tables: &impl Tables, bucket: u32, tag: u32, pace: Pace, now: u32) -> u32 {
    let Some(bucket) = tables.known(bucket) else {
        return UNKNOWN;
    };
    for known in &bucket.0 {
        if known.tag.get() == tag {
            return if known.allowance.admit(pace, now) {
                ADMITTED
            } else {
                REFUSED
            };
        }
    }
    UNKNOWN
}

/// First the prefix, so that one prefix alone cannot use up what all share.
#[inline(always)]
fn stranger<H: Ip, const L3: usize>(
    head: &Head,
    tables: &impl Tables,
    paces: &Paces,
    may_begin: bool,
    now: u32,
    reason: Counter,
) -> Counter {
    let [remote, _] = H::addresses(head, L3);
    let index = shield::prefix(&remote, H::IS_V6, |i| tables.hash_word(i));
    let (Some(prefix), Some(total)) = (tables.prefix(index), tables.total()) else {
        return reason;
    };
    if may_begin {
        if !prefix.strangers.admit(paces.strangers[0], now) {
            return Counter::ShieldPrefix;
        }
        if !total.strangers.admit(paces.strangers[1], now) {
            return Counter::ShieldTotal;
        }
    } else if !prefix.junk.admit(paces.junk[0], now) || !total.junk.admit(paces.junk[1], now) {
        return Counter::ShieldJunk;
    }
    reason
}

/// By its first bits and its cookie (RFC 8489 section 5).
#[inline(always)]
fn is_stun<H: Ip, const L3: usize>(frame: &impl Frame) -> bool {
    let at = L3 + H::LEN + UDP_LEN as usize;
    let Some(head) = frame.head(at + TOLD_BY) else {
        return false;
    };
    head.get::<u8>(at) & 0xc0 == 0 && head.get::<u32>(at + 4) == MAGIC_COOKIE
}
