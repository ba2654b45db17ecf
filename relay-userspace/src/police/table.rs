//! Who has which meter of `SESSIONS`: two lie in each slot. Meters are never moved; 0 stands for no limit.

use std::mem::offset_of;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, MutexGuard, PoisonError};

use relay_common::{Meter, Slot, beside, meter_index, meter_place};

use crate::free_list::FreeList;

/// Words of a meter: rate (3), due (2), dropped (2), none.
pub(super) const METER_WORDS: usize = size_of::<Meter>() / 8;
/// Which of a slot's two meters is for a session.
const SESSIONS: u32 = 0;
/// Which is for a user.
const USERS: u32 = 1;
/// Slots both of whose meters are free, in [`Places::free`].
const BOTH: usize = 2;

/// Memory the kernel spends from as well.
pub trait Words: Send + Sync {
    fn words(&self) -> &[AtomicU64];
}

/// The kernel's meters.
pub struct MeterTable {
    memory: Box<dyn Words>,
    places: Mutex<Places>,
}

struct Places {
    /// Slots by what is free in them: nothing but the session's meter, nothing but the user's, both.
    free: [FreeList; 3],
    /// Sessions of an earlier process still spend from these.
    held_over: Vec<u32>,
}

impl Places {
    fn take(&mut self, index: u32) -> bool {
        let (slot, place) = meter_place(index);
        if self.free[BOTH].take(slot) {
            self.free[1 - place as usize].give_back(slot);
            return true;
        }
        self.free[place as usize].take(slot)
    }

    /// The one that has been free for longest: by then its slot is free as well, and a session finds room there.
    fn take_first(&mut self, kinds: [usize; 3], wanted: u32) -> Option<u32> {
        kinds.into_iter().find_map(|kind| {
            let slot = self.free[kind].first()?;
            let place = if kind == BOTH { wanted } else { kind as u32 };
            let index = meter_index(slot, place);
            self.take(index).then_some(index)
        })
    }

    /// That of `guess`, or of another slot of its page.
    fn take_near(&mut self, guess: Option<u32>, place: u32) -> Option<u32> {
        let near = guess.into_iter().flat_map(beside);
        near.map(|slot| meter_index(slot, place))
            .find(|index| self.take(*index))
    }

    fn give_back(&mut self, index: u32) {
        let (slot, place) = meter_place(index);
        if self.free[1 - place as usize].take(slot) {
            self.free[BOTH].give_back(slot);
        } else {
            self.free[place as usize].give_back(slot);
        }
    }
}

impl MeterTable {
    /// Over the slots of `SESSIONS`.
    pub fn new(memory: Box<dyn Words>) -> Self {
        let slots = slots_in(memory.words());
        let places = Places {
            free: [
                FreeList::none_of(slots),
                FreeList::none_of(slots),
                FreeList::all_of(slots),
            ],
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
        for index in used {
            // A user's is named by all of its sessions.
            if places.take(*index) {
                places.held_over.push(*index);
            }
        }
    }

    /// Nobody spends from what an earlier process gave out.
    pub fn settle(&self) {
        let mut places = self.lock();
        for index in std::mem::take(&mut places.held_over) {
            places.give_back(index);
        }
    }

    /// How many slots there are.
    pub fn slots(&self) -> u32 {
        slots_in(self.memory.words())
    }

    /// For a session: where the kernel guesses its slot, else beside its user's meter.
    pub(super) fn take_for_session(&self, guess: Option<u32>, users: Option<u32>) -> Option<u32> {
        let mut places = self.lock();
        if let Some(near) = places.take_near(guess, SESSIONS) {
            return Some(near);
        }
        if let Some((slot, USERS)) = users.map(meter_place) {
            let beside = meter_index(slot, SESSIONS);
            if places.take(beside) {
                return Some(beside);
            }
        }
        places.take_first([SESSIONS as usize, BOTH, USERS as usize], SESSIONS)
    }

    /// For a user, whose first session is to find the other one of the slot: it will be guessed there.
    pub(super) fn take_for_user(&self, guess: Option<u32>) -> Option<u32> {
        let mut places = self.lock();
        let near = places.take_near(guess, USERS);
        near.or_else(|| places.take_first([BOTH, USERS as usize, SESSIONS as usize], USERS))
    }

    pub(super) fn give_back(&self, index: u32) {
        self.lock().give_back(index);
    }

    /// The words of one meter.
    pub fn meter(&self, index: u32) -> Option<&[AtomicU64]> {
        meter_words(self.memory.words(), index)
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slots_in(words: &[AtomicU64]) -> u32 {
    (words.len() * 8 / size_of::<Slot>()) as u32
}

/// The words of a meter in `slots`, the words of `SESSIONS`; `None`: it is no meter.
pub fn meter_words(slots: &[AtomicU64], index: u32) -> Option<&[AtomicU64]> {
    if index == 0 {
        return None;
    }
    let (slot, place) = meter_place(index);
    let start = slot as usize * size_of::<Slot>()
        + offset_of!(Slot, meters)
        + place as usize * size_of::<Meter>();
    slots.get(start / 8..start / 8 + METER_WORDS)
}

impl Words for Vec<AtomicU64> {
    fn words(&self) -> &[AtomicU64] {
        self
    }
}
