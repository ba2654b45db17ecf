//! Which slot a session gets: where the kernel will guess it, or near. A preference: the index finds it anywhere.

use relay_common::{HashKey, Match, beside, meter_place};

use crate::free_list::FreeList;

/// What the guess of a session's slot follows from.
#[derive(Clone, Copy)]
pub struct Guess {
    key: HashKey,
    slots: u32,
}

impl Guess {
    /// Among so many slots.
    pub fn new(key: HashKey, slots: u32) -> Self {
        Self { key, slots }
    }

    /// For a session with this client's leg.
    pub fn of(&self, client: &Match) -> u32 {
        self.key.place(client, 0).guess(self.slots)
    }
}

/// The slots that are free.
pub struct Seats {
    free: FreeList,
}

impl Seats {
    /// All of `count` are.
    pub fn new(count: u32) -> Self {
        Self {
            free: FreeList::all_of(count),
        }
    }

    /// How many are free.
    pub fn left(&self) -> usize {
        self.free.len()
    }

    /// The one of the meter `home`; else the guess, or one of its page, which costs a cold packet no second walk through
    /// the page tables; else, if the meter lies anywhere, the one whose meters will be last to be given out.
    pub fn take(&mut self, home: u32, guess: u32) -> Option<u32> {
        let (own, _) = meter_place(home);
        if home != 0 && self.free.take(own) {
            return Some(own);
        }
        let near = self.free.take_any(beside(guess));
        near.or_else(|| match home {
            0 => self.free.take_first(),
            _ => self.free.take_last(),
        })
    }

    /// This one is taken.
    pub fn hold(&mut self, slot: u32) {
        self.free.take(slot);
    }

    /// Frees `slot`.
    pub fn give_back(&mut self, slot: u32) {
        self.free.give_back(slot);
    }
}
