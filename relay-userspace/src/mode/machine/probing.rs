//! What keeps legs open and asks them: how often, of what size. Decides nothing about what is in use.

use std::time::{Duration, Instant};

use super::{Machine, Phase};
use crate::mode::path::State;
use crate::mode::{Leg, Order};

/// Of a probe that only asks whether anything passes: a bare Binding request.
const SMALL: usize = 20;
/// Media that is no longer meets no limit of size.
const LONG: usize = 300;
/// What is longer is cut in pieces on any way, and the relay's answer is no longer either (RFC 5780 §7.6).
const LONGEST: usize = 1400;

impl Machine {
    pub(super) fn answered(&mut self, now: Instant, leg: Leg, probe: u64) {
        let policy = self.policy;
        let path = self.path_mut(leg);
        if !path.is_open() {
            return;
        }
        path.hear(now, &policy);
        if let Some(round_trip) = path.probes.answered(now, probe) {
            path.round_trip = Some(round_trip);
            path.answered = Some(now);
        }
    }

    /// A leg that failed, when its time has come; the one that waits, as soon as there is one in use.
    pub(super) fn reopen(&mut self, now: Instant) {
        for leg in Leg::ALL {
            if self.reopen_due(leg).is_some_and(|due| due <= now) {
                self.open(now, leg);
            }
        }
    }

    fn reopen_due(&self, leg: Leg) -> Option<Instant> {
        if !self.may_open(leg) {
            return None;
        }
        match (self.phase, self.path(leg).reopen_at) {
            (Phase::Over, _) => None,
            (_, Some(due)) => Some(due),
            (Phase::Live { since, .. }, None) => Some(since),
            (Phase::Choosing { .. }, None) => None,
        }
    }

    /// A connection that says nothing is as good as closed.
    pub(super) fn close_silent_tcp(&mut self, now: Instant) {
        let patience = self.tcp_patience();
        let silent = |since: Instant| since + patience <= now;
        if self.tcp.silent_since().is_some_and(silent) {
            let seconds = patience.as_secs_f64();
            let fault = format!("nothing was heard for {seconds:.1} s");
            self.close(now, Leg::Tcp, fault);
        }
    }

    pub(super) fn probe(&mut self, now: Instant) {
        for leg in Leg::ALL {
            if !self.path(leg).is_open() {
                continue;
            }
            let (every, bytes) = self.question(now, leg);
            let path = self.path_mut(leg);
            if path
                .probes
                .last_sent()
                .is_none_or(|sent| sent + every <= now)
            {
                let probe = path.probes.send(now, bytes > SMALL);
                self.orders.push_back(Order::Probe { leg, probe, bytes });
            }
        }
    }

    pub(super) fn expire_probes(&mut self, now: Instant) {
        let patience = self.policy.probe_patience;
        for leg in Leg::ALL {
            self.path_mut(leg).probes.expire(now, patience);
        }
    }

    /// How often to ask a leg, and with how many bytes.
    fn question(&self, now: Instant, leg: Leg) -> (Duration, usize) {
        let policy = &self.policy;
        let path = self.path(leg);
        let seek = policy.seek * 2u32.saturating_pow(path.probes.missed.min(16));
        let in_use = match self.phase {
            Phase::Live { leg, .. } => Some(leg),
            Phase::Choosing { .. } | Phase::Over => None,
        };
        let suspect = self.suspects_udp(now);
        match (in_use, leg) {
            (None, _) => (seek.min(policy.probe_every), SMALL),
            (Some(Leg::Udp), Leg::Udp) if suspect => {
                (policy.loss_probe_every, self.media_length_once_in(4))
            }
            (Some(Leg::Udp), Leg::Udp) if self.is_strangely_silent(now) => {
                (policy.steady_probe_every, SMALL)
            }
            (Some(Leg::Udp), Leg::Udp) => (policy.probe_every, self.media_length_once_in(2)),
            (Some(Leg::Udp), Leg::Tcp) if !path.works() || suspect => (policy.probe_every, SMALL),
            (Some(Leg::Udp), Leg::Tcp) => (policy.standby_every, SMALL),
            (Some(Leg::Tcp), Leg::Udp) if path.probes.run > 0 => {
                (policy.return_every, self.return_length())
            }
            (Some(Leg::Tcp), Leg::Udp) => (seek.min(policy.longest_seek), self.return_length()),
            (Some(Leg::Tcp), Leg::Tcp) => (policy.probe_every, SMALL),
        }
    }

    /// Bare probes prove nothing about a way that lets only short packets pass.
    fn media_length_once_in(&self, count: u64) -> usize {
        let its_turn = self.udp.probes.count().is_multiple_of(count);
        match its_turn && self.media_bytes > LONG {
            true => self.media_bytes.min(LONGEST),
            false => SMALL,
        }
    }

    fn return_length(&self) -> usize {
        self.policy.return_bytes.max(self.media_bytes.min(LONGEST))
    }

    /// It was heard all the time, and not for a moment.
    fn is_strangely_silent(&self, now: Instant) -> bool {
        self.silence_is_strange_from()
            .is_some_and(|from| from <= now)
    }

    fn silence_is_strange_from(&self) -> Option<Instant> {
        let steady = self.udp.is_steady(&self.policy);
        let from = self.udp.proof? + self.policy.steady_gap;
        (steady && matches!(self.phase, Phase::Live { leg: Leg::Udp, .. })).then_some(from)
    }

    /// Not every question of the last seconds was answered.
    fn suspects_udp(&self, now: Instant) -> bool {
        let policy = &self.policy;
        self.udp
            .probes
            .lost_since(now, policy.loss_window + policy.probe_patience)
    }

    pub(super) fn leg_due(&self, now: Instant, leg: Leg) -> Option<Instant> {
        let path = self.path(leg);
        let ask = path.is_open().then(|| {
            let (every, _) = self.question(now, leg);
            path.probes.last_sent().map_or(now, |sent| sent + every)
        });
        let lost = path.probes.due(self.policy.probe_patience);
        let silent = match (leg, path.state) {
            (Leg::Tcp, State::Open { .. } | State::Opening { .. }) => {
                path.silent_since().map(|since| since + self.tcp_patience())
            }
            _ => None,
        };
        let strange = match leg {
            Leg::Udp => self.silence_is_strange_from().filter(|from| *from > now),
            Leg::Tcp => None,
        };
        let due = [ask, lost, silent, strange, self.reopen_due(leg)];
        due.into_iter().flatten().min()
    }
}
