//! A leg is in use: when to doubt it, when to leave it, when to return to UDP. Knows nothing of the race.

use std::time::{Duration, Instant};

use super::{Doubt, Machine, Phase, Told};
use crate::mode::{Leg, Notice, Reason, Route};

impl Machine {
    pub(super) fn live_on_udp(&mut self, now: Instant, since: Instant, doubt: Option<Doubt>) {
        let policy = self.policy;
        let standby = self.tcp.works();
        let Some(proof) = self.udp.silent_since() else {
            return match standby {
                true => self.switch(now, Leg::Tcp, Reason::Failed, self.udp.proof),
                false => self.choose_again(now, Reason::Failed),
            };
        };
        let silent = now.saturating_duration_since(proof);
        match doubt {
            Some(doubt) if proof > doubt.since => self.believe_again(now, since, doubt),
            _ if silent >= policy.silence && standby => {
                self.switch(now, Leg::Tcp, Reason::Silence, Some(proof));
            }
            _ if silent >= policy.give_up => self.give_up(now, silent),
            None if silent >= self.patience_with_udp() => self.doubt(now, since),
            Some(Doubt {
                since: doubted,
                doubled: false,
            }) if standby => {
                self.order(now, Route::Both, None);
                self.live_again(since, Some((doubted, true)));
            }
            // In doubt all of them are lost, and silence decides whether it is a pause.
            None if self.loses(now) && self.tcp.is_healthy(now, &policy) => {
                // It may be all of them.
                let missing_since = (silent >= policy.probe_patience).then_some(proof);
                self.switch(now, Leg::Tcp, Reason::Loss, missing_since);
            }
            _ => {}
        }
    }

    pub(super) fn live_on_tcp(&mut self, now: Instant, since: Instant) {
        let policy = self.policy;
        if self.tcp.silent_since().is_none() {
            let fresh = |proof: Instant| proof + policy.doubt > now;
            return match self.udp.works() && self.udp.proof.is_some_and(fresh) {
                true => self.switch(now, Leg::Udp, Reason::Failed, self.tcp.proof),
                false => self.choose_again(now, Reason::Failed),
            };
        }
        let dwelt = now.saturating_duration_since(since) >= self.dwell;
        if dwelt && self.may_return() && self.change.is_none() {
            self.switch(now, Leg::Udp, Reason::Restored, None);
        }
    }

    fn may_return(&self) -> bool {
        self.udp.works() && self.udp.probes.run >= self.policy.return_run
    }

    fn doubt(&mut self, now: Instant, since: Instant) {
        self.tell(Notice::TransportDegraded {
            proto: Leg::Udp,
            reason: Reason::Silence,
        });
        self.tcp.reopen_at = self.tcp.reopen_at.map(|_| now);
        self.live_again(since, Some((now, false)));
    }

    /// It was a pause.
    fn believe_again(&mut self, now: Instant, since: Instant, doubt: Doubt) {
        let told = Told {
            reason: Reason::Restored,
            since: doubt.since,
            missing_since: None,
        };
        self.order(now, Route::Only(Leg::Udp), Some(told));
        // What the pause cost is no share of what is lost now.
        self.udp.probes.begin();
        self.live_again(since, None);
    }

    fn live_again(&mut self, since: Instant, doubt: Option<(Instant, bool)>) {
        self.phase = Phase::Live {
            leg: Leg::Udp,
            since,
            doubt: doubt.map(|(since, doubled)| Doubt { since, doubled }),
        };
    }

    fn switch(&mut self, now: Instant, to: Leg, reason: Reason, missing_since: Option<Instant>) {
        match to {
            Leg::Tcp => self.count_flap(now),
            Leg::Udp => self.returned = Some(now),
        }
        self.udp.probes.begin();
        let doubt = None;
        self.phase = Phase::Live {
            leg: to,
            since: now,
            doubt,
        };
        let told = Told {
            reason,
            since: now,
            missing_since,
        };
        self.order(now, Route::Only(to), Some(told));
    }

    /// UDP is left: was it a mistake to return to it?
    pub(super) fn count_flap(&mut self, now: Instant) {
        let longest = self.policy.longest_dwell;
        let flapped = |returned: Instant| now.saturating_duration_since(returned) < longest;
        self.dwell = match self.returned.take().is_some_and(flapped) {
            true => (2 * self.dwell).min(longest),
            false => self.policy.dwell,
        };
    }

    fn loses(&mut self, now: Instant) -> bool {
        let policy = &self.policy;
        let probes = &mut self.udp.probes;
        let (all, long) = probes.shares(now, policy.loss_window, policy.probe_patience);
        all.reaches(policy.loss_percent, policy.loss_samples)
            || long.reaches(policy.long_percent, policy.long_samples)
    }

    fn patience_with_udp(&self) -> Duration {
        match self.udp.is_steady(&self.policy) {
            true => self.policy.steady_doubt.min(self.policy.doubt),
            false => self.policy.doubt,
        }
    }

    pub(super) fn live_due(
        &self,
        leg: Leg,
        since: Instant,
        doubt: Option<Doubt>,
    ) -> Option<Instant> {
        let policy = &self.policy;
        match leg {
            Leg::Udp => {
                let proof = self.udp.silent_since()?;
                let patience = match doubt {
                    None => self.patience_with_udp(),
                    Some(_) if self.tcp.works() => policy.silence,
                    Some(_) => policy.give_up,
                };
                Some(proof + patience)
            }
            Leg::Tcp => self.may_return().then(|| since + self.dwell),
        }
    }

    /// How long a TCP leg may be silent: one that waits is asked less often.
    pub(super) fn tcp_patience(&self) -> Duration {
        match self.phase {
            Phase::Live { leg: Leg::Udp, .. } => {
                self.policy.tcp_silence + self.policy.standby_every
            }
            _ => self.policy.tcp_silence,
        }
    }
}
