//! Questions on one leg: which wait for an answer, which were lost. Sends nothing itself.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct Probes {
    next: u64,
    sent: Option<Instant>,
    /// In the order of sending.
    waiting: VecDeque<Probe>,
    /// And whether they were lost.
    outcomes: VecDeque<(Probe, bool)>,
    /// Answered one after the other, lately.
    pub run: usize,
    /// Lost one after the other, lately.
    pub missed: u32,
}

#[derive(Debug, Clone, Copy)]
struct Probe {
    number: u64,
    sent: Instant,
    /// As long as media.
    long: bool,
}

/// Those decided within a window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Share {
    lost: usize,
    all: usize,
}

impl Share {
    /// Fewer than `samples` reach nothing.
    pub fn reaches(self, percent: usize, samples: usize) -> bool {
        self.all >= samples && 100 * self.lost >= percent * self.all
    }
}

impl Probes {
    /// One more.
    pub fn send(&mut self, now: Instant, long: bool) -> u64 {
        let number = self.next;
        self.next += 1;
        self.sent = Some(now);
        let sent = now;
        self.waiting.push_back(Probe { number, sent, long });
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
        let at = self
            .waiting
            .iter()
            .position(|probe| probe.number == number)?;
        let probe = self.waiting.remove(at)?;
        self.outcomes.push_back((probe, false));
        self.run += 1;
        self.missed = 0;
        Some(now.saturating_duration_since(probe.sent))
    }

    /// What is older than `patience` is lost.
    pub fn expire(&mut self, now: Instant, patience: Duration) {
        while let Some(probe) = self
            .waiting
            .pop_front_if(|probe| probe.sent + patience <= now)
        {
            self.outcomes.push_back((probe, true));
            self.run = 0;
            self.missed += 1;
        }
    }

    /// When the oldest that waits is lost.
    pub fn due(&self, patience: Duration) -> Option<Instant> {
        self.waiting.front().map(|probe| probe.sent + patience)
    }

    /// Of all and of the long ones in a `window`, which ends where the oldest that waits could be: later ones are known
    /// only if they were answered, and would make the share look smaller.
    pub fn shares(&mut self, now: Instant, window: Duration, patience: Duration) -> (Share, Share) {
        self.outcomes
            .retain(|(probe, _)| probe.sent + patience + window > now);
        let (mut all, mut long) = (Share::default(), Share::default());
        for (probe, lost) in &self.outcomes {
            if probe.sent + patience > now {
                continue;
            }
            let of_long = probe.long.then_some(&mut long);
            for share in [Some(&mut all), of_long].into_iter().flatten() {
                share.lost += usize::from(*lost);
                share.all += 1;
            }
        }
        (all, long)
    }

    /// Whether one of the last `time` was lost.
    pub fn lost_since(&self, now: Instant, time: Duration) -> bool {
        let mut lost = self.outcomes.iter().filter(|(_, lost)| *lost);
        lost.any(|(probe, _)| probe.sent + time > now)
    }

    /// As of a leg that is opened again; numbers are never used twice.
    pub fn begin(&mut self) {
        *self = Self {
            next: self.next,
            ..Self::default()
        };
    }
}
