//! `NEXT_HOPS`: which index is which next hop, shared by all legs behind it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::Ordering::{Relaxed, Release};

use relay_common::NextHop;

use super::memory::{Memory, NEXT_HOP_WORDS};
use super::next_hop::HopKey;
use super::shared::next_hop_words;

/// Word that holds interface and card: 0 turns the next hop off.
const INTERFACE_WORD: usize = 2;

/// The next hops in use.
pub struct HopTable {
    used: BTreeMap<HopKey, Used>,
    free: Vec<u32>,
    retired: Vec<u32>,
    /// Of an earlier process; sessions nobody has claimed yet may use them.
    strangers: Vec<u32>,
}

struct Used {
    index: u32,
    users: u32,
    next_hop: NextHop,
}

impl HopTable {
    /// For the table in `memory`; index 0 stays unresolved for ever.
    pub fn new(memory: &impl Memory) -> Self {
        let count = (memory.next_hops().len() / NEXT_HOP_WORDS) as u32;
        let is_written = |index: &u32| {
            let cells = &memory.next_hops()[*index as usize * NEXT_HOP_WORDS..][..NEXT_HOP_WORDS];
            cells.iter().any(|cell| cell.load(Relaxed) != 0)
        };
        let (strangers, free) = (1..count).rev().partition(is_written);
        Self {
            used: BTreeMap::new(),
            free,
            retired: Vec::new(),
            strangers,
        }
    }

    /// Index of `key`, for one more leg. `None`: no index is free.
    pub fn acquire(
        &mut self,
        memory: &impl Memory,
        key: HopKey,
        now: impl FnOnce() -> NextHop,
    ) -> Option<u32> {
        if let Some(used) = self.used.get_mut(&key) {
            used.users += 1;
            return Some(used.index);
        }
        let index = self.free.pop()?;
        let next_hop = now();
        write(memory, index, &next_hop);
        self.used.insert(
            key,
            Used {
                index,
                users: 1,
                next_hop,
            },
        );
        Some(index)
    }

    /// One leg less.
    pub fn release(&mut self, memory: &impl Memory, key: &HopKey) {
        let Some(used) = self.used.get_mut(key) else {
            return;
        };
        used.users -= 1;
        if used.users == 0 {
            write(memory, used.index, &NextHop::default());
            self.retired.push(used.index);
            self.used.remove(key);
        }
    }

    /// Writes what changed of the next hops behind a neighbour.
    pub fn update(
        &mut self,
        memory: &impl Memory,
        oif: u32,
        neighbour: IpAddr,
        now: impl Fn(&HopKey) -> NextHop,
    ) {
        let key = |mtu| HopKey {
            oif,
            neighbour,
            mtu,
        };
        for (key, used) in self.used.range_mut(key(0)..=key(u16::MAX)) {
            used.update(memory, now(key));
        }
    }

    /// Writes what changed of any next hop.
    pub fn update_all(&mut self, memory: &impl Memory, now: impl Fn(&HopKey) -> NextHop) {
        for (key, used) in &mut self.used {
            used.update(memory, now(key));
        }
    }

    /// Whether the kernel can send to `key` now.
    pub fn is_resolved(&self, key: &HopKey) -> bool {
        self.used
            .get(key)
            .is_some_and(|used| used.next_hop.ifindex != 0)
    }

    /// Those in use.
    pub fn keys(&self) -> impl Iterator<Item = &HopKey> {
        self.used.keys()
    }

    /// Freed indices, to be given to `recycle` once no packet can still be reading them.
    pub fn take_retired(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.retired)
    }

    /// Turns off what an earlier process wrote; no session uses it any more.
    pub fn drop_strangers(&mut self, memory: &impl Memory) {
        for index in std::mem::take(&mut self.strangers) {
            write(memory, index, &NextHop::default());
            self.retired.push(index);
        }
    }

    /// Indices that may be used again.
    pub fn recycle(&mut self, indices: Vec<u32>) {
        self.free.extend(indices);
    }

    /// Compares with what was written, and repairs. Returns next hops repaired.
    pub fn verify(&self, memory: &impl Memory) -> u64 {
        let mut drift = 0;
        for used in self.used.values() {
            let cells = &memory.next_hops()[used.index as usize * NEXT_HOP_WORDS..];
            let words = next_hop_words(&used.next_hop);
            if (0..NEXT_HOP_WORDS).any(|i| cells[i].load(Relaxed) != words[i]) {
                write(memory, used.index, &used.next_hop);
                drift += 1;
            }
        }
        drift
    }
}

impl Used {
    fn update(&mut self, memory: &impl Memory, next_hop: NextHop) {
        if self.next_hop != next_hop {
            self.next_hop = next_hop;
            write(memory, self.index, &next_hop);
        }
    }
}

/// The interface goes first and comes back last: in between packets go to userspace.
fn write(memory: &impl Memory, index: u32, next_hop: &NextHop) {
    let cells = &memory.next_hops()[index as usize * NEXT_HOP_WORDS..][..NEXT_HOP_WORDS];
    let words = next_hop_words(next_hop);
    cells[INTERFACE_WORD].store(0, Release);
    for i in (0..NEXT_HOP_WORDS).filter(|i| *i != INTERFACE_WORD) {
        cells[i].store(words[i], Release);
    }
    cells[INTERFACE_WORD].store(words[INTERFACE_WORD], Release);
}
