//! One limit in force, and what a session carries to be let through. Spends, never decides how much.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use relay_common::Rate;

use super::budget::SLACK;
use super::limit::Limit;
use super::registry::{Inner, Key};
use super::table::{METER_WORDS, MeterTable};
use super::{DOWN, UP};

const PER_BYTE: usize = 0;
const PER_PACKET: usize = 1;
const BURST: usize = 2;
const DUE: usize = 3;
const DROPPED: usize = 5;
/// Bytes whose time is taken to tell that of one, which is short.
const MEASURE: u64 = 1 << 20;

/// A meter in force as long as somebody has it.
pub struct Metered {
    cells: Cells,
    key: Key,
    home: Arc<Inner>,
    /// As the last round left it; `None`: in no round yet.
    left: Mutex<Option<Left>>,
}

struct Left {
    at: u64,
    due: [u64; 2],
    dropped: [u64; 2],
    given: Limit,
}

/// What came of a meter since the last round.
#[derive(Debug, Clone, Copy)]
pub(super) struct Round {
    pub given: Limit,
    /// The part of what was given that was used, in each direction.
    pub busy: [f64; 2],
    pub hungry: [bool; 2],
}

impl Round {
    /// Of a rate that was given, in a second.
    pub fn used(&self, direction: usize, rate: Option<u64>) -> f64 {
        self.busy[direction] * rate.map_or(0.0, |rate| rate as f64)
    }

    /// Whether what was used comes near `level`.
    pub fn is_near(&self, direction: usize, level: Limit) -> bool {
        let near = |given: Option<u64>, level: Option<u64>| {
            level.is_some_and(|level| self.used(direction, given) > level as f64 / 2.0)
        };
        self.hungry[direction]
            || near(self.given.bits_per_second, level.bits_per_second)
            || near(self.given.packets_per_second, level.packets_per_second)
    }
}

/// Nearly all of what was given: more is wanted.
const SATURATED: f64 = 0.95;

enum Cells {
    /// In the kernel's table.
    Shared(Arc<MeterTable>, u32),
    /// Where the kernel has no part in it, or no room.
    Own([AtomicU64; METER_WORDS]),
}

impl Metered {
    /// With nothing spent; of a session of `user`, near the slot `guess`.
    pub(super) fn new(home: Arc<Inner>, key: Key, user: Option<&Self>, guess: Option<u32>) -> Self {
        let place = home.table.as_ref().and_then(|table| match key {
            Key::User(_) => table.take_for_user(guess),
            Key::Session(_) => table.take_for_session(guess, user.map(Self::place)),
            Key::Other(_) => None,
        });
        let cells = match (&home.table, place) {
            (Some(table), Some(place)) => Cells::Shared(Arc::clone(table), place),
            _ => Cells::Own(Default::default()),
        };
        let metered = Self {
            cells,
            key,
            home,
            left: Mutex::new(None),
        };
        metered
            .words()
            .iter()
            .for_each(|word| word.store(0, Relaxed));
        metered
    }

    pub(super) fn set(&self, rate: Rate) {
        self.rate(rate);
        // What a stricter limit left unpaid would take as long to pay as it was strict.
        for due in &self.words()[DUE..DUE + 2] {
            due.store(0, Relaxed);
        }
        *self.left.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn rate(&self, rate: Rate) {
        let words = self.words();
        for (at, value) in [
            (BURST, rate.burst),
            (PER_BYTE, rate.per_byte),
            (PER_PACKET, rate.per_packet),
        ] {
            words[at].store(value, Relaxed);
        }
    }

    /// Reads what was used since the last round, and puts the meter `slack` ahead of the clock: until the next round
    /// `due` only grows, by what packets cost.
    pub(super) fn round(&self, now: Instant, slack: Duration) -> Round {
        let clock = &self.home.clock;
        let (at, slack) = (clock.at(now), clock.span(slack));
        let (words, dropped) = (self.words(), self.dropped());
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if left.is_none() {
            words[BURST].fetch_add(slack, Relaxed);
        }
        let given = left.as_ref().map_or(Limit::NONE, |left| left.given);
        let mut round = Round {
            given,
            busy: [0.0; 2],
            hungry: [false; 2],
        };
        let mut due = [0; 2];
        for direction in [UP, DOWN] {
            let word = &words[DUE + direction];
            let was = word.load(Relaxed);
            // Packets of this moment only add to it, and so does this.
            let lift = (at + slack).saturating_sub(was);
            word.fetch_add(lift, Relaxed);
            due[direction] = was + lift;
            if let Some(left) = &*left {
                let time = at.saturating_sub(left.at).max(1);
                round.busy[direction] =
                    was.saturating_sub(left.due[direction]) as f64 / time as f64;
                round.hungry[direction] = dropped[direction] > left.dropped[direction]
                    || round.busy[direction] > SATURATED;
            }
        }
        *left = Some(Left {
            at,
            due,
            dropped,
            given,
        });
        round
    }

    /// Until the next round, on top of what is unpaid.
    pub(super) fn give(&self, limit: Limit) {
        let burst = self.home.lock().burst() + SLACK;
        self.rate(limit.rate(burst, self.home.clock.hz()));
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(left) = &mut *left {
            left.given = limit;
        }
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    /// Where the kernel finds it; 0: nowhere.
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

    /// The bytes of a stream that may be moved now (0: as few as can be), or for how many units of the clock none may.
    fn room(&self, direction: usize, now: u64) -> Result<usize, u64> {
        let Some(byte) = self.byte_time() else {
            return Ok(usize::MAX);
        };
        let words = self.words();
        let end = now.saturating_add(words[BURST].load(Relaxed));
        let due = words[DUE + direction].load(Relaxed).max(now);
        match end.checked_sub(due) {
            Some(left) => Ok((u128::from(left) * u128::from(MEASURE) / u128::from(byte)) as usize),
            None => Err(due - end),
        }
    }

    /// Has moved `bytes`, however far ahead of its rate that is.
    fn spend(&self, direction: usize, now: u64, bytes: usize) {
        let Some(byte) = self.byte_time() else {
            return;
        };
        let cost = (bytes as u128 * u128::from(byte) / u128::from(MEASURE)) as u64;
        let due = &self.words()[DUE + direction];
        // Never `None`, so it is done.
        let _ = due.fetch_update(Relaxed, Relaxed, |due| {
            Some(due.max(now).saturating_add(cost))
        });
    }

    /// The time [`MEASURE`] bytes take; `None`: bytes are not limited.
    fn byte_time(&self) -> Option<u64> {
        let words = self.words();
        let rate = Rate {
            per_byte: words[PER_BYTE].load(Relaxed),
            per_packet: 0,
            burst: 0,
        };
        (rate.per_byte > 0).then(|| rate.pay(0, 0, MEASURE as u32).max(1))
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

    /// How many bytes of a stream may be moved now, 0 meaning as few as can be; or for how long none may. Limits of packets are not for streams.
    pub fn room(&self, direction: usize, now: Instant) -> Result<usize, Duration> {
        let clock = &self.session.home.clock;
        let at = clock.at(now);
        let session = self.session.room(direction, at);
        let user = self.user.as_ref().map(|user| user.room(direction, at));
        match (session, user.unwrap_or(Ok(usize::MAX))) {
            (Ok(session), Ok(user)) => Ok(session.min(user)),
            (session, user) => {
                let longest = session.err().max(user.err()).unwrap_or_default();
                Err(clock.time(longest))
            }
        }
    }

    /// Bytes of a stream that were moved: they are paid for before more may be.
    pub fn spend(&self, direction: usize, now: Instant, bytes: usize) {
        let at = self.session.home.clock.at(now);
        self.session.spend(direction, at, bytes);
        if let Some(user) = &self.user {
            user.spend(direction, at, bytes);
        }
    }

    /// The meters the kernel is to ask; `None`: it cannot, there was no room.
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
