//! One limit in force, and what a session carries to be let through. Spends, never decides how much.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use relay_common::Rate;

use super::registry::{Inner, Key};
use super::table::{METER_WORDS, MeterTable};

const PER_BYTE: usize = 0;
const PER_PACKET: usize = 1;
const BURST: usize = 2;
const DUE: usize = 3;
const DROPPED: usize = 5;

/// A meter in force as long as somebody has it.
pub struct Metered {
    cells: Cells,
    key: Key,
    home: Arc<Inner>,
}

enum Cells {
    /// In the kernel's table.
    Shared(Arc<MeterTable>, u32),
    /// Where the kernel has no part in it, or no room.
    Own([AtomicU64; METER_WORDS]),
}

impl Metered {
    /// With nothing spent.
    pub(super) fn new(home: Arc<Inner>, key: Key) -> Self {
        let in_kernel = !matches!(key, Key::Other(_));
        let place = home
            .table
            .as_ref()
            .filter(|_| in_kernel)
            .and_then(|table| Some((Arc::clone(table), table.take()?)));
        let cells = match place {
            Some((table, place)) => Cells::Shared(table, place),
            None => Cells::Own(Default::default()),
        };
        let metered = Self { cells, key, home };
        metered
            .words()
            .iter()
            .for_each(|word| word.store(0, Relaxed));
        metered
    }

    pub(super) fn set(&self, rate: Rate) {
        let words = self.words();
        for (at, value) in [
            (BURST, rate.burst),
            (PER_BYTE, rate.per_byte),
            (PER_PACKET, rate.per_packet),
        ] {
            words[at].store(value, Relaxed);
        }
        // What a stricter limit left unpaid would take as long to pay as it was strict.
        for due in &words[DUE..DUE + 2] {
            due.store(0, Relaxed);
        }
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Its place in `METERS`; 0: it has none.
    fn place(&self) -> u32 {
        match &self.cells {
            Cells::Shared(_, place) => *place,
            Cells::Own(_) => 0,
        }
    }

    fn admits(&self, direction: usize, now: u64, bytes: u32) -> bool {
        let words = self.words();
        let load = |at: usize| words[at].load(Relaxed);
        let rate = Rate {
            per_byte: load(PER_BYTE),
            per_packet: load(PER_PACKET),
            burst: load(BURST),
        };
        if rate.per_byte | rate.per_packet == 0 {
            return true;
        }
        let paid = words[DUE + direction].fetch_update(Relaxed, Relaxed, |due| {
            Some(rate.pay(due, now, bytes)).filter(|after| *after != 0)
        });
        if paid.is_err() {
            words[DROPPED + direction].fetch_add(1, Relaxed);
        }
        paid.is_ok()
    }

    /// Packets refused since it is in force, [`super::UP`] and [`super::DOWN`].
    pub(super) fn dropped(&self) -> [u64; 2] {
        [0, 1].map(|direction| self.words()[DROPPED + direction].load(Relaxed))
    }

    fn words(&self) -> &[AtomicU64] {
        match &self.cells {
            Cells::Shared(table, place) => table.meter(*place).unwrap_or(&[]),
            Cells::Own(words) => words,
        }
    }
}

impl Drop for Metered {
    fn drop(&mut self) {
        self.home.forget(&self.key);
        if let Cells::Shared(table, place) = &self.cells {
            // A packet that was looked up a moment ago may still spend from it: the next owner's first packet, at most.
            table.give_back(*place);
        }
    }
}

/// The limits of one session and of its user.
#[derive(Clone)]
pub struct Pass {
    pub(super) session: Arc<Metered>,
    pub(super) user: Option<Arc<Metered>>,
}

impl Pass {
    /// Whether a packet of `bytes` application bytes may go on; from the client is [`super::UP`].
    pub fn admits(&self, direction: usize, now: Instant, bytes: usize) -> bool {
        let now = self.session.home.clock.at(now);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let users = || match &self.user {
            Some(user) => user.admits(direction, now, bytes),
            None => true,
        };
        self.session.admits(direction, now, bytes) && users()
    }

    /// The places in `METERS` the kernel is to ask; `None`: it cannot, there was no room.
    pub fn meters(&self) -> Option<[u32; 2]> {
        let session = self.session.place();
        let user = self.user.as_ref().map(|user| user.place());
        (session != 0 && user != Some(0)).then_some([session, user.unwrap_or(0)])
    }
}

impl std::fmt::Debug for Pass {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pass").field(&self.meters()).finish()
    }
}
