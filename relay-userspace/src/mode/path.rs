//! What is known of one leg: whether it is open, when it last proved that it works, how it answers. Orders nothing.

use std::time::{Duration, Instant};

use super::Policy;
use super::probes::Probes;

#[derive(Debug)]
pub(super) struct Path {
    pub state: State,
    /// Since it was first opened, or last heard.
    pub first_tried: Option<Instant>,
    pub proof: Option<Instant>,
    /// Proofs in a row without a gap.
    steady: usize,
    pub round_trip: Option<Duration>,
    pub answered: Option<Instant>,
    pub fault: Option<String>,
    /// Not before that.
    pub reopen_at: Option<Instant>,
    back_off: Duration,
    pub probes: Probes,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Closed,
    Opening {
        since: Instant,
    },
    Open {
        since: Instant,
    },
    /// By a rule: for good.
    Refused,
}

impl Path {
    pub fn new(policy: &Policy) -> Self {
        Self {
            state: State::Closed,
            first_tried: None,
            proof: None,
            steady: 0,
            round_trip: None,
            answered: None,
            fault: None,
            reopen_at: None,
            back_off: policy.reopen,
            probes: Probes::default(),
        }
    }

    pub fn begin(&mut self, now: Instant) {
        self.state = State::Opening { since: now };
        self.first_tried.get_or_insert(now);
        self.proof = None;
        self.steady = 0;
        self.answered = None;
        self.round_trip = None;
        self.reopen_at = None;
        self.probes.begin();
    }

    pub fn opened(&mut self, now: Instant) {
        if let State::Opening { .. } = self.state {
            self.state = State::Open { since: now };
        }
    }

    pub fn fail(&mut self, now: Instant, fault: String, policy: &Policy) {
        self.state = State::Closed;
        self.fault = Some(fault);
        self.reopen_at = Some(now + self.back_off);
        self.back_off = (2 * self.back_off).min(policy.longest_reopen);
    }

    /// Whatever it failed of was before this.
    pub fn forgive(&mut self, policy: &Policy) {
        self.reopen_at = None;
        self.back_off = policy.reopen;
    }

    pub fn hear(&mut self, now: Instant, policy: &Policy) {
        if self.is_open() {
            let gap = |proof: Instant| now.saturating_duration_since(proof) > policy.steady_gap;
            self.steady = match self.proof.is_some_and(gap) {
                true => 0,
                false => self.steady.saturating_add(1),
            };
            self.proof = Some(now);
            self.first_tried = Some(now);
            self.fault = None;
            self.back_off = policy.reopen;
        }
    }

    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// Open, and something has been heard since.
    pub fn works(&self) -> bool {
        self.is_open() && self.proof.is_some()
    }

    /// Since the last proof, or since it is open or wanted; `None`: it is neither.
    pub fn silent_since(&self) -> Option<Instant> {
        match (self.state, self.proof) {
            (State::Open { since }, proof) => Some(proof.unwrap_or(since)),
            (State::Opening { since }, _) => Some(since),
            (State::Closed | State::Refused, _) => None,
        }
    }

    /// Silence is strange, and some questions are answered before it is doubted.
    pub fn is_steady(&self, policy: &Policy) -> bool {
        let quick = |time: Duration| 3 * time <= policy.steady_doubt;
        self.steady >= policy.steady_run && self.round_trip.is_some_and(quick)
    }

    /// Answers, and no slower than a leg that does not suffer.
    pub fn is_healthy(&self, now: Instant, policy: &Policy) -> bool {
        let fresh = |at: Instant| at + policy.doubt > now;
        self.works()
            && self.answered.is_some_and(fresh)
            && self
                .round_trip
                .is_some_and(|time| time <= policy.healthy_round_trip)
    }
}
