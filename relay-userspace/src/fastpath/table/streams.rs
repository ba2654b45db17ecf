//! Which entries of `STREAMS` are whose: one for each leg of a session, while there are any.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use relay_common::Streams;

use super::Table;
use crate::fastpath::memory::{Memory, SESSION_WORDS, SLOT_WORDS, STREAMS_WORDS, streams_word};
use crate::fastpath::shared::streams_of;

/// Entry 0 is nobody's.
pub(super) struct Places {
    free: Vec<u32>,
}

impl Places {
    pub fn new(memory: &impl Memory) -> Self {
        let count = (memory.streams().len() / STREAMS_WORDS) as u32;
        Self {
            free: (1..count).rev().collect(),
        }
    }

    /// Writes a cleared place, or none, into the words of a session to be.
    pub fn give(&mut self, memory: &impl Memory, words: &mut [u64; SESSION_WORDS], leg: usize) {
        let place = self.free.pop().unwrap_or(0);
        if place != 0 {
            let from = place as usize * STREAMS_WORDS;
            for word in &memory.streams()[from..from + STREAMS_WORDS] {
                word.store(0, Relaxed);
            }
        }
        let word = &mut words[streams_word(leg)];
        *word = with_place(*word, place);
    }

    /// Those of a session no packet can still be reading.
    pub fn take_back(&mut self, words: &[AtomicU64]) {
        for leg in 0..2 {
            match place_of(words[streams_word(leg)].load(Relaxed)) {
                0 => {}
                place => self.free.push(place),
            }
        }
    }

    /// Of sessions an earlier process left, none is free.
    pub fn adopt(&mut self, taken: impl Iterator<Item = u32>) {
        let taken: std::collections::HashSet<u32> = taken.collect();
        self.free.retain(|place| !taken.contains(place));
    }
}

impl<M: Memory> Table<M> {
    /// RTP that arrives on a leg; `None`: there was no room to keep it.
    pub fn streams(&self, slot: u32, leg: usize) -> Option<Streams> {
        let word = slot as usize * SLOT_WORDS + streams_word(leg);
        let place = place_of(self.memory.sessions()[word].load(Relaxed));
        let from = place as usize * STREAMS_WORDS;
        let words = self.memory.streams().get(from..from + STREAMS_WORDS)?;
        let words = std::array::from_fn(|i| words[i].load(Relaxed));
        (place != 0).then(|| streams_of(&words))
    }
}

/// The second half of a word, in memory order.
pub(super) fn place_of(word: u64) -> u32 {
    let [_, _, _, _, a, b, c, d] = word.to_ne_bytes();
    u32::from_ne_bytes([a, b, c, d])
}

pub(super) fn with_place(word: u64, place: u32) -> u64 {
    let mut bytes = word.to_ne_bytes();
    bytes[4..].copy_from_slice(&place.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}
