//! Questions on one leg: which wait for an answer, which were lost. Sends nothing itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct Probes {
    next: u64,
    sent: Option<Instant>,
    /// Number and time of sending, in that order.
    waiting: VecDeque<(u64, Instant)>,
    /// When they were sent, and whether they were lost.
    outcomes: VecDeque<(Instant, bool)>,
    /// Answered one after the other, lately.
    pub run: u32,
    /// Lost one after the other, lately.
    pub missed: u32,
}

impl Probes {
    /// One more.
    pub fn send(&mut self, now: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.sent = Some(now);
        self.waiting.push_back((number, now));
        number
    }

    pub fn last_sent(&self) -> Option<Instant> {
        self.sent
    }

    pub fn count(&self) -> u64 {
        self.next
    }

    /// The round trip; `None`: it had been given up.
    pub fn answered(&mut self, now: Instant, number: u64) -> Option<Duration> {
        let at = self.waiting.iter().position(|(n, _)| *n == number)?;
        let (_, sent) = self.waiting.remove(at)?;
        self.outcomes.push_back((sent, false));
        self.run += 1;
        self.missed = 0;
        Some(now.saturating_duration_since(sent))
    }

    /// What is older than `patience` is lost.
    pub fn expire(&mut self, now: Instant, patience: Duration) {
        while let Some((_, sent)) = self
            .waiting
            .pop_front_if(|(_, sent)| *sent + patience <= now)
        {
            self.outcomes.push_back((sent, true));
            self.run = 0;
            self.missed += 1;
        }
    }

    /// When the oldest that waits is lost.
    pub fn due(&self, patience: Duration) -> Option<Instant> {
        self.waiting.front().map(|(_, sent)| *sent + patience)
    }

    /// Those lost and all of a `window`, which ends where the oldest that waits could be: later ones are known only if
    /// they were answered, and would make the share look smaller.
    pub fn share(&mut self, now: Instant, window: Duration, patience: Duration) -> (usize, usize) {
        self.outcomes
            .retain(|(sent, _)| *sent + patience + window > now);
        let decided = |sent: Instant| sent + patience <= now;
        let decided = self.outcomes.iter().filter(|(sent, _)| decided(*sent));
        let (mut lost, mut all) = (0, 0);
        for (_, is_lost) in decided {
            lost += usize::from(*is_lost);
            all += 1;
        }
        (lost, all)
    }

    /// Whether one of the last `time` was lost.
    pub fn lost_since(&self, now: Instant, time: Duration) -> bool {
        let mut lost = self.outcomes.iter().filter(|(_, lost)| *lost);
        lost.any(|(sent, _)| *sent + time > now)
    }

    /// As of a leg that is opened again; numbers are never used twice.
    pub fn begin(&mut self) {
        *self = Self {
            next: self.next,
            ..Self::default()
        };
    }
}
