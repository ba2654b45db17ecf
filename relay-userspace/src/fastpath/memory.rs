//! The mapped tables as 64-bit words: where each field lies, and who may be relied on to read it in between.
//!
//! Everything is written in words because a word changes in one store. The kernel reads at any time, adds to the counters
//! of live sessions, and keeps the streams; nothing else of it is ever written by the kernel.

use std::mem::offset_of;
use std::sync::atomic::AtomicU64;

#[cfg(test)]
use relay_common::KNOWN_WAYS;
use relay_common::{Leg, Session, Slot, Streams};

/// Words of a `PortEntry`: kind and slot, generation and leg.
pub const PORT_WORDS: usize = 2;
/// Words of a `Bucket`: one `IndexEntry` each.
pub const BUCKET_WORDS: usize = 8;
/// Words of a `Session`; the first holds the generation.
pub const SESSION_WORDS: usize = size_of::<Session>() / 8;
/// Words of a `Slot`, at the start of which its session lies.
pub const SLOT_WORDS: usize = size_of::<Slot>() / 8;
/// Words of a `NextHop`; the third holds interface and card.
pub const NEXT_HOP_WORDS: usize = 4;

/// Words of `Streams`.
pub const STREAMS_WORDS: usize = size_of::<Streams>() / 8;
/// Word of a session that counts what was over a limit; the kernel's while the session is live.
pub const REFUSED_WORD: usize = offset_of!(Session, refused) / 8;

/// Word of a session where the field at `offset` of `leg` lies.
const fn word_of(leg: usize, offset: usize) -> usize {
    (offset_of!(Session, legs) + leg * size_of::<Leg>() + offset) / 8
}

/// Word of a session that holds next hop and checksum deltas of `leg`.
pub const fn next_hop_word(leg: usize) -> usize {
    word_of(leg, offset_of!(Leg, next_hop))
}
/// Word of a session that holds the deadline of `leg`.
pub const fn deadline_word(leg: usize) -> usize {
    word_of(leg, offset_of!(Leg, deadline))
}
/// Word of a session that counts packets of `leg`; the kernel's while the session is live.
pub const fn packets_word(leg: usize) -> usize {
    word_of(leg, offset_of!(Leg, packets))
}
/// Word of a session that counts bytes of `leg`; the kernel's while the session is live.
pub const fn bytes_word(leg: usize) -> usize {
    word_of(leg, offset_of!(Leg, bytes))
}

/// Word of a session that names the limits of `leg`.
pub const fn meters_word(leg: usize) -> usize {
    word_of(leg, offset_of!(Leg, meters))
}
/// Word of a session whose second half names the streams of `leg`.
pub const fn streams_word(leg: usize) -> usize {
    word_of(leg, offset_of!(Leg, streams))
}
/// Whether the kernel writes this word of a live session.
pub const fn is_counter(word: usize) -> bool {
    word == REFUSED_WORD
        || word == packets_word(0)
        || word == packets_word(1)
        || word == bytes_word(0)
        || word == bytes_word(1)
}

/// The tables, wherever they lie.
pub trait Memory: Send {
    /// `PORTS`.
    fn ports(&self) -> &[AtomicU64];
    /// `BUCKETS`; a power of two of them.
    fn buckets(&self) -> &[AtomicU64];
    /// `SESSIONS`, meters included.
    fn sessions(&self) -> &[AtomicU64];
    /// `NEXT_HOPS`.
    fn next_hops(&self) -> &[AtomicU64];
    /// `STREAMS`.
    fn streams(&self) -> &[AtomicU64];
    /// These meters are an earlier process's sessions'.
    fn hold_meters(&self, _used: &[u32]) {}
    /// They are no longer.
    fn settle_meters(&self) {}
    /// `KNOWN`; a power of two of buckets. The kernel writes the low half of its words.
    fn known(&self) -> &[AtomicU64];
}

/// Tables nobody else sees, for tests.
#[cfg(test)]
pub struct PlainMemory {
    ports: Vec<AtomicU64>,
    buckets: Vec<AtomicU64>,
    sessions: Vec<AtomicU64>,
    next_hops: Vec<AtomicU64>,
    streams: Vec<AtomicU64>,
    known: Vec<AtomicU64>,
}

#[cfg(test)]
impl PlainMemory {
    pub fn new(sessions: u32, buckets: u32) -> Self {
        let words = |n: usize| (0..n).map(|_| AtomicU64::new(0)).collect();
        Self {
            ports: words(relay_common::PORT_ENTRIES as usize * PORT_WORDS),
            buckets: words(buckets as usize * BUCKET_WORDS),
            sessions: words(sessions as usize * SLOT_WORDS),
            next_hops: words(64 * NEXT_HOP_WORDS),
            streams: words((2 * sessions as usize + 1) * STREAMS_WORDS),
            known: words(relay_common::known_buckets_for(sessions) as usize * KNOWN_WAYS),
        }
    }
}

#[cfg(test)]
impl Memory for PlainMemory {
    fn ports(&self) -> &[AtomicU64] {
        &self.ports
    }
    fn buckets(&self) -> &[AtomicU64] {
        &self.buckets
    }
    fn sessions(&self) -> &[AtomicU64] {
        &self.sessions
    }
    fn next_hops(&self) -> &[AtomicU64] {
        &self.next_hops
    }
    fn streams(&self) -> &[AtomicU64] {
        &self.streams
    }
    fn known(&self) -> &[AtomicU64] {
        &self.known
    }
}
