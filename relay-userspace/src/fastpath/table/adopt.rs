//! Taking over what an earlier process left in the tables: its sessions go on untouched until somebody wants them, or
//! nobody did.

use std::collections::HashSet;
use std::sync::atomic::Ordering::{Relaxed, Release};

use relay_common::{IndexEntry, Match, Session};

use super::streams::{place_of, with_place};
use super::{Live, Slot, Table};
use crate::fastpath::memory::{
    BUCKET_WORDS, Memory, SESSION_WORDS, SLOT_WORDS, is_counter, meters_word, streams_word,
};
use crate::fastpath::shared::{session_of, session_words};

impl<M: Memory> Table<M> {
    /// Reads the tables: whole sessions stay, the halves that a killed process left are removed. Returns how many stay.
    /// Freed slots may be written again only after a grace period, which the caller waits out before this.
    pub fn adopt(&mut self) -> usize {
        let mut newest = 0;
        for slot in (0..self.slots.len() as u32).rev() {
            match self.read(slot) {
                Some(live) => {
                    let generation = live.words[0] as u32;
                    newest = newest.max(generation);
                    for m in live.matches {
                        self.owners.insert(m, slot);
                    }
                    let live = Some(live);
                    self.slots[slot as usize] = Slot { generation, live };
                    self.unclaimed.insert(slot);
                    self.free.hold(slot);
                }
                None => {
                    self.memory.sessions()[slot as usize * SLOT_WORDS].store(0, Release);
                }
            }
        }
        // What still names a free slot, a port's shortcut for example, must not fit its next session.
        for free in self.slots.iter_mut().filter(|slot| slot.live.is_none()) {
            free.generation = newest;
        }
        self.clear_stray_entries();
        let live = self.slots.iter().filter_map(|slot| slot.live.as_ref());
        let legs = live.flat_map(|live| [0, 1].map(|leg| (live, leg)));
        let streams = legs.clone();
        self.streams
            .adopt(streams.map(|(live, leg)| place_of(live.words[streams_word(leg)])));
        let meters = legs.flat_map(|(live, leg)| meters_of(live.words[meters_word(leg)]));
        let meters: Vec<u32> = meters.filter(|meter| *meter != 0).collect();
        self.memory.hold_meters(&meters);
        self.unclaimed.len()
    }

    /// Ends every session nobody claimed. Returns how many there were.
    pub fn drop_unclaimed(&mut self) -> usize {
        let unclaimed = std::mem::take(&mut self.unclaimed);
        for slot in &unclaimed {
            self.remove(*slot);
        }
        self.memory.settle_meters();
        unclaimed.len()
    }

    /// The slot of an earlier process that relays exactly this, brought up to date; its generation and its counters go
    /// on. What only receives the same packets is removed.
    pub(super) fn claim(&mut self, matches: &[Match; 2], wanted: &Session) -> Option<(u32, u32)> {
        if self.unclaimed.is_empty() {
            return None;
        }
        for m in matches {
            let Some(slot) = self.owners.get(m).copied() else {
                continue;
            };
            let same = |live: &Live| live.matches == *matches;
            if !self.unclaimed.contains(&slot) {
                continue;
            }
            if !self.slots[slot as usize].live.as_ref().is_some_and(same) {
                self.remove(slot);
                continue;
            }
            self.unclaimed.remove(&slot);
            let mut words = session_words(wanted);
            if let Some(live) = &self.slots[slot as usize].live {
                for leg in [0, 1].map(streams_word) {
                    words[leg] = with_place(words[leg], place_of(live.words[leg]));
                }
            }
            for (i, word) in words.iter().enumerate().skip(1) {
                if !is_counter(i) {
                    self.set_word(slot, i, *word);
                }
            }
            return Some((slot, self.slots[slot as usize].generation));
        }
        None
    }

    /// A live session both of whose legs are in the index; `None` for anything less.
    fn read(&self, slot: u32) -> Option<Live> {
        let cells = &self.memory.sessions()[slot as usize * SLOT_WORDS..][..SESSION_WORDS];
        let generation = cells[0].load(Relaxed) as u32;
        if generation == 0 {
            return None;
        }
        let words = std::array::from_fn(|i| cells[i].load(Relaxed));
        let session = session_of(&words);
        let matches = session.legs.map(|leg| leg.matches);
        let known = matches.iter().any(|m| self.owners.contains_key(m));
        if known || matches[0] == matches[1] {
            return None;
        }
        let first = self.entry_of(&matches[0], generation, slot, 0)?;
        let second = self.entry_of(&matches[1], generation, slot, 1)?;
        Some(Live {
            words,
            matches,
            entries: [first, second],
        })
    }

    fn entry_of(&self, m: &Match, generation: u32, slot: u32, leg: u32) -> Option<(usize, u64)> {
        let place = self.key.place(m, self.mask);
        let entry = IndexEntry::new(place.tag, generation, slot, leg).0;
        [place.first, place.second]
            .into_iter()
            .flat_map(|bucket| {
                let start = bucket as usize * BUCKET_WORDS;
                start..start + BUCKET_WORDS
            })
            .find(|at| self.memory.buckets()[*at].load(Relaxed) == entry)
            .map(|at| (at, entry))
    }

    fn clear_stray_entries(&self) {
        let live = self.slots.iter().filter_map(|slot| slot.live.as_ref());
        let led: HashSet<usize> = live
            .flat_map(|live| live.entries)
            .map(|(at, _)| at)
            .collect();
        for (at, word) in self.memory.buckets().iter().enumerate() {
            if word.load(Relaxed) != 0 && !led.contains(&at) {
                word.store(0, Release);
            }
        }
    }
}

/// Both meters a leg names.
fn meters_of(word: u64) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = word.to_ne_bytes();
    [[a, b, c, d], [e, f, g, h]].map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::fastpath::memory::{PlainMemory, packets_word};
    use relay_common::HashKey;

    const KEY: HashKey = HashKey([7; 14]);

    fn session(n: u16, deadline: u64) -> Session {
        let at = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let leg = |channel| Match::new(at(n), at(3478), channel);
        Session::new([leg(0x4000), leg(0)], [1, 1], [deadline; 2])
    }

    fn next_process(table: Table<PlainMemory>) -> Table<PlainMemory> {
        Table::new(table.memory, KEY)
    }

    #[test]
    fn a_claimed_session_keeps_slot_generation_and_counters_and_the_others_end() {
        let mut table = Table::new(PlainMemory::new(8, 64), KEY);
        let kept = table.install(&session(1, 10), 0).unwrap();
        let other = table.install(&session(2, 10), 0).unwrap();
        let base = kept.0 as usize * SLOT_WORDS;
        table.memory.sessions()[base + packets_word(0)].store(5, Relaxed);

        let mut table = next_process(table);
        assert_eq!(table.adopt(), 2);
        assert_eq!(table.install(&session(1, 99), 0), Ok(kept));
        assert_eq!(table.traffic(kept.0)[0].packets, 5);
        let live = |table: &Table<PlainMemory>, slot: u32| {
            table.memory.sessions()[slot as usize * SLOT_WORDS].load(Relaxed)
        };
        assert_ne!(live(&table, other.0), 0, "until it is known to be unwanted");
        assert_eq!(table.drop_unclaimed(), 1);
        assert_eq!(live(&table, other.0), 0);
        assert_eq!(live(&table, kept.0), u64::from(kept.1));
        assert_eq!(table.verify(0..8), 0, "the new deadline is written");
        assert_eq!(table.remove(kept.0)[0].packets, 5);
    }

    #[test]
    fn what_a_process_was_killed_over_is_cleaned_up() {
        let mut table = Table::new(PlainMemory::new(8, 64), KEY);
        let (slot, _) = table.install(&session(1, 10), 0).unwrap();
        let half = table.install(&session(2, 10), 0).unwrap();
        // Killed while removing the first, and before the second was whole.
        table.memory.sessions()[slot as usize * SLOT_WORDS].store(0, Relaxed);
        let entries = table.slots[half.0 as usize].live.clone().unwrap().entries;
        table.memory.buckets()[entries[1].0].store(0, Relaxed);

        let mut table = next_process(table);
        assert_eq!(table.adopt(), 0);
        let empty =
            |cells: &[std::sync::atomic::AtomicU64]| cells.iter().all(|c| c.load(Relaxed) == 0);
        assert!(empty(table.memory.buckets()));
        for slot in 0..8 {
            assert_eq!(table.memory.sessions()[slot * SLOT_WORDS].load(Relaxed), 0);
        }
        assert_eq!(table.free.left(), 8);
    }

    #[test]
    fn a_session_with_half_of_a_strangers_packets_takes_its_place() {
        let mut table = Table::new(PlainMemory::new(8, 64), KEY);
        let (old, _) = table.install(&session(1, 10), 0).unwrap();
        let mut table = next_process(table);
        table.adopt();
        let mut other = session(1, 10);
        other.legs[1] = session(2, 10).legs[1];
        let (slot, _) = table.install(&other, 0).unwrap();
        assert_ne!(slot, old);
        assert_eq!(table.drop_unclaimed(), 0);
        assert_eq!(table.take_retired(), [old]);
    }
}
