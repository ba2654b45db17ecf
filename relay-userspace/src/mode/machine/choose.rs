//! Nothing is in use: the race of UDP and secure TCP, and its end. Knows nothing of a leg that works.

use std::time::{Duration, Instant};

use super::{Machine, Phase, Told};
use crate::mode::path::State;
use crate::mode::{Leg, Mode, Order, Reason, Route};

impl Machine {
    pub(super) fn choose(&mut self, now: Instant, since: Instant, why: Option<Reason>) {
        let waited = now.saturating_duration_since(since);
        self.open_in_turn(now, waited);
        if let Some(leg) = self.winner(waited) {
            return self.take_up(now, leg, since, why);
        }
        let hopeless = Leg::ALL
            .into_iter()
            .all(|leg| !self.mode.allows(leg) || self.path(leg).state == State::Refused);
        if hopeless || waited >= self.policy.give_up {
            self.give_up(now, waited);
        }
    }

    fn open_in_turn(&mut self, now: Instant, waited: Duration) {
        if self.may_open(Leg::Udp) && self.udp.reopen_at.is_none() {
            self.open(now, Leg::Udp);
        }
        let turn = !self.udp_hopes() || waited >= self.policy.head_start;
        if turn && self.may_open(Leg::Tcp) && self.tcp.reopen_at.is_none() {
            self.open(now, Leg::Tcp);
        }
    }

    /// It may still win; what was refused a moment ago is tried again, and not waited for.
    fn udp_hopes(&self) -> bool {
        self.mode.allows(Leg::Udp) && self.udp.fault.is_none()
    }

    fn winner(&self, waited: Duration) -> Option<Leg> {
        if self.udp.works() {
            return Some(Leg::Udp);
        }
        let committed = !self.udp_hopes() || waited >= self.policy.commit;
        (committed && self.tcp.works()).then_some(Leg::Tcp)
    }

    fn take_up(&mut self, now: Instant, leg: Leg, since: Instant, why: Option<Reason>) {
        let reason = match (why, leg, self.mode) {
            (Some(why), ..) => why,
            (None, _, Mode::UdpOnly | Mode::TcpOnly) => Reason::Mode,
            (None, Leg::Udp, _) => Reason::Answered,
            (None, Leg::Tcp, _) => match self.udp_hopes() {
                true => Reason::NoAnswer,
                false => Reason::Failed,
            },
        };
        let told = Told {
            reason,
            since,
            missing_since: self.carried.map(|_| since),
        };
        if self.carried == Some(Leg::Udp) && leg == Leg::Tcp {
            self.count_flap(now);
        }
        if leg == Leg::Tcp {
            self.udp.probes.begin();
        }
        self.phase = Phase::Live {
            leg,
            since: now,
            doubt: None,
        };
        self.order(now, Route::Only(leg), Some(told));
    }

    /// The way there was is gone: both legs race again. `why` is told of the one that wins.
    pub(super) fn choose_again(&mut self, since: Instant, why: Reason) {
        let policy = self.policy;
        for leg in Leg::ALL {
            self.path_mut(leg).forgive(&policy);
        }
        // What worked long ago is no proof.
        for path in [&mut self.udp, &mut self.tcp] {
            path.proof = None;
            path.probes.begin();
        }
        self.change = None;
        let since = *self.without.get_or_insert(since);
        self.phase = Phase::Choosing {
            since,
            why: Some(why),
        };
    }

    /// Both legs belong to a network that is no more.
    pub(super) fn begin_anew(&mut self, now: Instant, why: Reason) {
        if self.phase == Phase::Over {
            return;
        }
        for leg in Leg::ALL {
            let path = self.path_mut(leg);
            path.fault = path.fault.take_if(|_| path.state == State::Refused);
            if matches!(path.state, State::Opening { .. } | State::Open { .. }) {
                path.state = State::Closed;
                self.orders.push_back(Order::Close(leg));
            }
        }
        self.without = None;
        self.choose_again(now, why);
    }

    pub(super) fn choice_due(&self, since: Instant) -> Option<Instant> {
        let policy = &self.policy;
        let head_start = (self.may_open(Leg::Tcp) && self.tcp.reopen_at.is_none())
            .then(|| since + policy.head_start);
        let commit = self.tcp.works().then(|| since + policy.commit);
        let give_up = Some(since + policy.give_up);
        [head_start, commit, give_up].into_iter().flatten().min()
    }
}
