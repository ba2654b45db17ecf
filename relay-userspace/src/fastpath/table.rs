//! Slots and index entries: what is where in `SESSIONS` and `BUCKETS`, and the order in which it is written.
//!
//! A session is written legs first, then its index entries, then its generation; removed in the opposite order. The
//! generation is one store, so both legs appear and disappear together. A freed slot is not written again before
//! every packet that may have read it is through: `take_retired`, wait for the kernel, `release`.

mod adopt;
mod streams;

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::atomic::Ordering::{Relaxed, Release};

use relay_common::{HashKey, IndexEntry, Match, Session};

use super::memory::{
    BUCKET_WORDS, Memory, REFUSED_WORD, SESSION_WORDS, SLOT_WORDS, bytes_word, deadline_word,
    is_counter, meters_word, next_hop_word, packets_word,
};
use super::seats::Seats;
use super::shared::session_words;
use crate::api::Traffic;

/// Why the tables did not take a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TableFault {
    #[error("kernel table full")]
    Full,
    #[error("another session already receives the same packets")]
    Duplicate,
}

/// The session and index tables.
pub struct Table<M> {
    pub memory: M,
    key: HashKey,
    mask: u32,
    slots: Vec<Slot>,
    free: Seats,
    retired: Vec<u32>,
    streams: streams::Places,
    owners: HashMap<Match, u32>,
    /// Live slots of an earlier process nobody has claimed yet.
    unclaimed: HashSet<u32>,
}

#[derive(Clone, Default)]
struct Slot {
    generation: u32,
    live: Option<Live>,
}

#[derive(Clone)]
struct Live {
    words: [u64; SESSION_WORDS],
    matches: [Match; 2],
    /// Words of `BUCKETS` that lead here, and what they hold.
    entries: [(usize, u64); 2],
}

impl<M: Memory> Table<M> {
    /// Over empty tables.
    pub fn new(memory: M, key: HashKey) -> Self {
        let capacity = memory.sessions().len() / SLOT_WORDS;
        let buckets = memory.buckets().len() / BUCKET_WORDS;
        Self {
            key,
            mask: buckets as u32 - 1,
            slots: vec![Slot::default(); capacity],
            free: Seats::new(capacity as u32),
            retired: Vec::new(),
            streams: streams::Places::new(&memory),
            owners: HashMap::new(),
            unclaimed: HashSet::new(),
            memory,
        }
    }

    /// Sessions there is room for.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// Of these, how many are taken or not yet free again.
    pub fn used(&self) -> usize {
        self.slots.len() - self.free.left()
    }

    /// Makes `session` live, where the meter `home` lies or the kernel guesses it if that slot is free. Its generation is
    /// chosen here. Returns slot and generation.
    pub fn install(&mut self, session: &Session, home: u32) -> Result<(u32, u32), TableFault> {
        let matches = [session.legs[0].matches, session.legs[1].matches];
        if let Some(claimed) = self.claim(&matches, session) {
            return Ok(claimed);
        }
        if matches[0] == matches[1] || matches.iter().any(|m| self.owners.contains_key(m)) {
            return Err(TableFault::Duplicate);
        }
        let places = matches.map(|m| self.key.place(&m, self.mask));
        let first = self.vacancy(places[0].first, places[0].second, None)?;
        let second = self.vacancy(places[1].first, places[1].second, Some(first))?;
        let guess = places[0].guess(self.slots.len() as u32);
        let slot = self.free.take(home, guess).ok_or(TableFault::Full)?;
        let generation = next_generation(self.slots[slot as usize].generation);

        let mut words = session_words(session);
        words[REFUSED_WORD] = 0;
        for (leg, at) in [(0, first), (1, second)] {
            words[packets_word(leg)] = 0;
            words[bytes_word(leg)] = 0;
            self.streams.give(&self.memory, &mut words, leg);
            debug_assert_eq!(self.memory.buckets()[at].load(Relaxed), 0);
        }
        let base = slot as usize * SLOT_WORDS;
        for (i, word) in words.iter().enumerate().skip(1) {
            self.memory.sessions()[base + i].store(*word, Relaxed);
        }
        let entry = |leg: usize| IndexEntry::new(places[leg].tag, generation, slot, leg as u32).0;
        let entries = [(first, entry(0)), (second, entry(1))];
        for (at, entry) in entries {
            self.memory.buckets()[at].store(entry, Release);
        }
        words[0] = u64::from(generation);
        self.memory.sessions()[base].store(words[0], Release);

        for m in matches {
            self.owners.insert(m, slot);
        }
        self.slots[slot as usize] = Slot {
            generation,
            live: Some(Live {
                words,
                matches,
                entries,
            }),
        };
        Ok((slot, generation))
    }

    /// Ends the session of `slot` for every packet that is not yet looked up. Returns its traffic by leg.
    pub fn remove(&mut self, slot: u32) -> [Traffic; 2] {
        let Some(live) = self.slots[slot as usize].live.take() else {
            return Default::default();
        };
        let base = slot as usize * SLOT_WORDS;
        self.memory.sessions()[base].store(0, Release);
        for (at, _) in live.entries {
            self.memory.buckets()[at].store(0, Release);
        }
        for m in live.matches {
            self.owners.remove(&m);
        }
        self.unclaimed.remove(&slot);
        self.retired.push(slot);
        self.traffic(slot)
    }

    /// What the kernel relayed, by the leg it arrived on.
    pub fn traffic(&self, slot: u32) -> [Traffic; 2] {
        let words = &self.memory.sessions()[slot as usize * SLOT_WORDS..];
        [0, 1].map(|leg| Traffic {
            packets: words[packets_word(leg)].load(Relaxed),
            bytes: words[bytes_word(leg)].load(Relaxed),
        })
    }

    /// Packets that arrived on each leg and were over a limit.
    pub fn refused(&self, slot: u32) -> [u64; 2] {
        let base = slot as usize * SLOT_WORDS;
        let bytes = self.memory.sessions()[base + REFUSED_WORD]
            .load(Relaxed)
            .to_ne_bytes();
        [0, 4]
            .map(|at| u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]))
            .map(u64::from)
    }

    /// Names the limits of both legs.
    pub fn set_meters(&mut self, slot: u32, meters: [[u32; 2]; 2]) {
        for (leg, [first, second]) in meters.into_iter().enumerate() {
            let mut bytes = [0; 8];
            bytes[..4].copy_from_slice(&first.to_ne_bytes());
            bytes[4..].copy_from_slice(&second.to_ne_bytes());
            self.set_word(slot, meters_word(leg), u64::from_ne_bytes(bytes));
        }
    }

    /// Moves the deadlines of both legs.
    pub fn set_deadlines(&mut self, slot: u32, deadlines: [u64; 2]) {
        for (leg, deadline) in deadlines.into_iter().enumerate() {
            self.set_word(slot, deadline_word(leg), deadline);
        }
    }

    /// Sends what leaves by `leg` to another next hop.
    pub fn set_next_hop(&mut self, slot: u32, leg: usize, next_hop: u32) {
        let Some(live) = &self.slots[slot as usize].live else {
            return;
        };
        let mut bytes = live.words[next_hop_word(leg)].to_ne_bytes();
        bytes[..4].copy_from_slice(&next_hop.to_ne_bytes());
        self.set_word(slot, next_hop_word(leg), u64::from_ne_bytes(bytes));
    }

    /// Freed slots, to be given to `release` once no packet can still be reading them.
    pub fn take_retired(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.retired)
    }

    /// Slots that may be written again.
    pub fn release(&mut self, slots: Vec<u32>) {
        for slot in &slots {
            let base = *slot as usize * SLOT_WORDS;
            self.streams
                .take_back(&self.memory.sessions()[base..base + SESSION_WORDS]);
        }
        for slot in slots {
            self.free.give_back(slot);
        }
    }

    /// Compares live sessions and their index entries with what was written, and repairs. Returns words repaired.
    pub fn verify(&self, slots: Range<usize>) -> u64 {
        let mut drift = 0;
        let mut check = |cell: &std::sync::atomic::AtomicU64, expected: u64| {
            if cell.load(Relaxed) != expected {
                cell.store(expected, Release);
                drift += 1;
            }
        };
        let wanted = self
            .slots
            .iter()
            .enumerate()
            .take(slots.end)
            .skip(slots.start);
        for (slot, live) in wanted {
            let Some(live) = &live.live else { continue };
            let base = slot * SLOT_WORDS;
            for (i, expected) in live.words.iter().enumerate().rev() {
                if !is_counter(i) {
                    check(&self.memory.sessions()[base + i], *expected);
                }
            }
            for (at, expected) in live.entries {
                check(&self.memory.buckets()[at], expected);
            }
        }
        drift
    }

    fn set_word(&mut self, slot: u32, word: usize, value: u64) {
        if let Some(live) = &mut self.slots[slot as usize].live {
            live.words[word] = value;
            self.memory.sessions()[slot as usize * SLOT_WORDS + word].store(value, Release);
        }
    }

    /// An empty word in one of two buckets, other than `taken`.
    fn vacancy(&self, first: u32, second: u32, taken: Option<usize>) -> Result<usize, TableFault> {
        let words = self.memory.buckets();
        [first, second]
            .into_iter()
            .flat_map(|bucket| {
                let start = bucket as usize * BUCKET_WORDS;
                start..start + BUCKET_WORDS
            })
            .find(|at| Some(*at) != taken && words[*at].load(Relaxed) == 0)
            .ok_or(TableFault::Full)
    }
}

fn next_generation(generation: u32) -> u32 {
    match (generation + 1) & IndexEntry::GENERATION_MASK {
        0 => 1,
        next => next,
    }
}

#[cfg(test)]
mod tests;
