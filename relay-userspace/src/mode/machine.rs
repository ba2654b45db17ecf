//! The state machine: what is in use, what is wanted next, and when to look again. Never touches a socket.

mod choose;
mod live;
mod probing;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::path::{Path, State};
use super::{Fact, Leg, Mode, Notice, Order, Policy, Reason, Refusal, Route, Tried};

/// ```
/// use std::time::{Duration, Instant};
/// use relay_userspace::mode::{Fact, Leg, Machine, Mode, Order, Policy, Route};
///
/// let start = Instant::now();
/// let mut machine = Machine::new(Mode::UdpOverTcp, Policy::default(), start);
/// assert_eq!(machine.next_order(), Some(Order::Open(Leg::Udp)));
/// machine.take(start, Fact::Opened(Leg::Udp));
/// let Some(Order::Probe { leg, probe, .. }) = machine.next_order() else { panic!() };
/// machine.take(start + Duration::from_millis(30), Fact::Answered { leg, probe });
/// assert_eq!(machine.next_order(), Some(Order::Use(Route::Only(Leg::Udp))));
/// ```
#[derive(Debug)]
pub struct Machine {
    mode: Mode,
    policy: Policy,
    udp: Path,
    tcp: Path,
    phase: Phase,
    /// Since when nothing carries, however often a leg was taken up meanwhile that then did not.
    without: Option<Instant>,
    /// The last leg whose use was told.
    carried: Option<Leg>,
    /// An order that is not carried out yet.
    change: Option<Change>,
    /// Since when TCP carries as well as the leg told last.
    covered: Option<Instant>,
    /// When UDP was returned to.
    returned: Option<Instant>,
    dwell: Duration,
    /// Of the longest datagram lately.
    media_bytes: usize,
    orders: VecDeque<Order>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Nothing is in use, or nothing that works.
    Choosing {
        since: Instant,
        why: Option<Reason>,
    },
    Live {
        leg: Leg,
        since: Instant,
        doubt: Option<Doubt>,
    },
    Over,
}

/// UDP is silent, and its user was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Doubt {
    since: Instant,
    /// Both legs carry.
    doubled: bool,
}

#[derive(Debug, Clone, Copy)]
struct Change {
    route: Route,
    ordered: Instant,
    /// To be told when it is in use.
    told: Option<Told>,
}

/// Of a [`Change`] that its user hears of.
#[derive(Debug, Clone, Copy)]
struct Told {
    reason: Reason,
    /// When the choice began.
    since: Instant,
    /// The last proof of a leg that no longer works.
    missing_since: Option<Instant>,
}

impl Machine {
    pub fn new(mode: Mode, policy: Policy, now: Instant) -> Self {
        let mut machine = Self {
            mode,
            policy,
            udp: Path::new(&policy),
            tcp: Path::new(&policy),
            phase: Phase::Choosing {
                since: now,
                why: None,
            },
            without: Some(now),
            carried: None,
            change: None,
            covered: None,
            returned: None,
            dwell: policy.dwell,
            media_bytes: 0,
            orders: VecDeque::new(),
        };
        machine.settle(now);
        machine
    }

    pub fn take(&mut self, now: Instant, fact: Fact) {
        let policy = self.policy;
        match fact {
            Fact::Opened(leg) => self.path_mut(leg).opened(now),
            Fact::Failed(leg, fault) => self.close(now, leg, fault),
            Fact::Refused(leg, rule) => self.refuse(leg, rule),
            Fact::Heard(leg) => self.path_mut(leg).hear(now, &policy),
            Fact::Answered { leg, probe } => self.answered(now, leg, probe),
            Fact::InUse(route) => self.in_use(now, route),
            Fact::Carries { bytes } => self.media_bytes = bytes,
            Fact::Redirected => self.begin_anew(now, Reason::Redirected),
            Fact::NetworkChanged => self.begin_anew(now, Reason::NetworkChanged),
        }
        self.settle(now);
    }

    /// At [`Self::due`], or at any other time.
    pub fn tick(&mut self, now: Instant) {
        self.settle(now);
    }

    pub fn next_order(&mut self) -> Option<Order> {
        self.orders.pop_front()
    }

    /// The leg whose use was told last, or [`None`] before the first.
    pub fn leg(&self) -> Option<Leg> {
        self.carried
    }

    /// When [`Self::tick`] is to be called next; `None`: it is over.
    pub fn due(&self, now: Instant) -> Option<Instant> {
        let choice = match self.phase {
            Phase::Choosing { since, .. } => self.choice_due(since),
            Phase::Live { leg, since, doubt } => self.live_due(leg, since, doubt),
            Phase::Over => return None,
        };
        let legs = Leg::ALL
            .into_iter()
            .filter_map(|leg| self.leg_due(now, leg));
        let change = self.change.map(|change| change.ordered + self.policy.carry);
        legs.chain(choice).chain(change).min()
    }

    /// Until nothing more follows from what is known now.
    fn settle(&mut self, now: Instant) {
        if self.phase == Phase::Over {
            return;
        }
        self.expire_change(now);
        self.expire_probes(now);
        self.close_silent_tcp(now);
        loop {
            let before = self.phase;
            match self.phase {
                Phase::Choosing { since, why } => self.choose(now, since, why),
                Phase::Live {
                    leg: Leg::Udp,
                    since,
                    doubt,
                } => self.live_on_udp(now, since, doubt),
                Phase::Live { since, .. } => self.live_on_tcp(now, since),
                Phase::Over => return,
            }
            if self.phase == before {
                break;
            }
        }
        self.reopen(now);
        self.probe(now);
    }

    fn path(&self, leg: Leg) -> &Path {
        match leg {
            Leg::Udp => &self.udp,
            Leg::Tcp => &self.tcp,
        }
    }

    fn path_mut(&mut self, leg: Leg) -> &mut Path {
        match leg {
            Leg::Udp => &mut self.udp,
            Leg::Tcp => &mut self.tcp,
        }
    }

    fn may_open(&self, leg: Leg) -> bool {
        self.mode.allows(leg) && self.path(leg).state == State::Closed
    }

    fn open(&mut self, now: Instant, leg: Leg) {
        self.path_mut(leg).begin(now);
        self.orders.push_back(Order::Open(leg));
    }

    fn close(&mut self, now: Instant, leg: Leg, fault: String) {
        let policy = self.policy;
        let path = self.path_mut(leg);
        if matches!(path.state, State::Opening { .. } | State::Open { .. }) {
            path.fail(now, fault, &policy);
            self.orders.push_back(Order::Close(leg));
        }
        let ordered = self.change.map(|change| change.route);
        if ordered.is_some_and(|route| route.carries(leg)) {
            self.change = None;
        }
    }

    fn refuse(&mut self, leg: Leg, rule: String) {
        if !self.mode.allows(leg) {
            return;
        }
        let path = self.path_mut(leg);
        path.state = State::Refused;
        path.fault = Some(rule.clone());
        self.change = None;
        self.orders.push_back(Order::Close(leg));
        self.tell(Notice::PolicyRefused { proto: leg, rule });
    }

    fn tell(&mut self, notice: Notice) {
        self.orders.push_back(Order::Tell(notice));
    }

    fn order(&mut self, now: Instant, route: Route, told: Option<Told>) {
        self.change = Some(Change {
            route,
            ordered: now,
            told,
        });
        self.orders.push_back(Order::Use(route));
    }

    fn in_use(&mut self, now: Instant, route: Route) {
        let Some(change) = self.change.take_if(|change| change.route == route) else {
            return;
        };
        let Route::Only(to) = route else {
            self.covered = Some(now);
            return;
        };
        self.without = None;
        let carries_since = self.covered.take().unwrap_or(now);
        let Some(told) = change.told else {
            return;
        };
        let gap = told.missing_since.map_or(Duration::ZERO, |since| {
            carries_since.saturating_duration_since(since)
        });
        self.tell(match self.carried {
            Some(from) if from != to => Notice::TransportSwitched {
                from,
                to,
                reason: told.reason,
                gap,
            },
            _ => Notice::TransportSelected {
                proto: to,
                elapsed: now.saturating_duration_since(told.since),
                reason: told.reason,
            },
        });
        self.carried = Some(to);
    }

    /// An order that nobody carries out: its leg does not work after all.
    fn expire_change(&mut self, now: Instant) {
        let late = |change: &Change| change.ordered + self.policy.carry <= now;
        let Some(change) = self.change.filter(late) else {
            return;
        };
        self.change = None;
        let leg = match change.route {
            Route::Only(leg) => leg,
            Route::Both => Leg::Tcp,
        };
        let fault = format!("it answers, and the allocation was not reached by {leg}");
        self.close(now, leg, fault);
    }

    fn give_up(&mut self, now: Instant, waited: Duration) {
        let allowed = Leg::ALL.into_iter().filter(|leg| self.mode.allows(*leg));
        let tried = allowed.map(|leg| {
            let path = self.path(leg);
            let since = path.first_tried.unwrap_or(now);
            Tried {
                leg,
                time: now.saturating_duration_since(since),
                probes: path.probes.count(),
                refused: path.state == State::Refused,
                fault: path.fault.clone(),
            }
        });
        let refusal = Refusal {
            mode: self.mode,
            waited,
            tried: tried.collect(),
        };
        self.phase = Phase::Over;
        self.change = None;
        self.orders.push_back(Order::GiveUp(refusal));
    }
}
