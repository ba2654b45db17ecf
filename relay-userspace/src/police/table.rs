//! Who has which entry of `METERS`. Entries are never moved; entry 0 stands for no limit.

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use relay_common::Meter;

/// Words of a meter: rate (3), due (2), dropped (2), none.
pub const METER_WORDS: usize = size_of::<Meter>() / 8;

/// Memory the kernel spends from as well.
pub trait Words: Send + Sync {
    fn words(&self) -> &[AtomicU64];
}

/// The kernel's meters.
pub struct MeterTable {
    memory: Box<dyn Words>,
    places: Mutex<Places>,
}

#[derive(Default)]
struct Places {
    free: Vec<u32>,
    /// Sessions of an earlier process still spend from these.
    held_over: Vec<u32>,
}

impl MeterTable {
    pub fn new(memory: Box<dyn Words>) -> Self {
        let count = (memory.words().len() / METER_WORDS) as u32;
        let places = Places {
            free: (1..count).rev().collect(),
            held_over: Vec::new(),
        };
        Self {
            memory,
            places: Mutex::new(places),
        }
    }

    /// Leaves `used` alone until `settle`.
    pub fn hold(&self, used: &[u32]) {
        let mut places = self.lock();
        places.free.retain(|place| !used.contains(place));
        places.held_over.extend_from_slice(used);
    }

    /// Nobody spends from what an earlier process gave out.
    pub fn settle(&self) {
        let mut places = self.lock();
        let held = std::mem::take(&mut places.held_over);
        places.free.extend(held);
    }

    pub(super) fn take(&self) -> Option<u32> {
        self.lock().free.pop()
    }

    pub(super) fn give_back(&self, place: u32) {
        self.lock().free.push(place);
    }

    pub fn words(&self) -> &[AtomicU64] {
        self.memory.words()
    }

    /// The words of one meter.
    pub fn meter(&self, place: u32) -> Option<&[AtomicU64]> {
        let from = place as usize * METER_WORDS;
        self.words().get(from..from + METER_WORDS)
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Words for Vec<AtomicU64> {
    fn words(&self) -> &[AtomicU64] {
        self
    }
}
