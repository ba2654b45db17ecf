//! A network for one machine: legs that work, are silent or refuse, in virtual time and with seeded losses. Checks each
//! order as it carries it out.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::mode::{Fact, Leg, Machine, Mode, Notice, Order, Policy, Refusal, Route};

pub const ROUND_TRIP: Duration = Duration::from_millis(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    Works,
    Silent,
    Refuses,
    /// It answers probes, and nothing else.
    Stubborn,
    /// Only what is shorter than a packet of media passes.
    Narrow,
    /// So many probes of a hundred are lost.
    Loses(u32),
    /// So many packets of a hundred are lost each way, and others up to so many milliseconds late.
    Rough(u32, u32),
}

#[derive(Debug)]
enum Coming {
    Fact(Fact),
    /// The next of the media of this stream.
    Media(u64),
}

#[derive(Debug)]
pub struct World {
    pub mode: Mode,
    pub machine: Machine,
    pub start: Instant,
    pub now: Instant,
    pub udp: Net,
    pub tcp: Net,
    pub tcp_round_trip: Duration,
    /// Something from the relay every 20 ms by the leg in use.
    pub media: bool,
    /// Its length.
    pub media_bytes: usize,
    stream: u64,
    /// Nothing overtakes.
    arrives: Instant,
    pub route: Option<Route>,
    pub told: Vec<(Duration, Notice)>,
    pub refusal: Option<Refusal>,
    /// Of the opening each fact belongs to: what comes of a closed one is dropped.
    coming: BTreeMap<(Instant, u64), (Leg, u64, Coming)>,
    opened: [Option<u64>; 2],
    proven: [bool; 2],
    serial: u64,
    random: u64,
}

impl World {
    pub fn new(mode: Mode, udp: Net, tcp: Net) -> Self {
        Self::seeded(mode, udp, tcp, 1)
    }

    pub fn seeded(mode: Mode, udp: Net, tcp: Net, seed: u64) -> Self {
        let start = Instant::now();
        Self {
            mode,
            machine: Machine::new(mode, Policy::default(), start),
            start,
            now: start,
            udp,
            tcp,
            tcp_round_trip: ROUND_TRIP,
            media: false,
            media_bytes: 200,
            stream: 0,
            arrives: start,
            route: None,
            told: Vec::new(),
            refusal: None,
            coming: BTreeMap::new(),
            opened: [None; 2],
            proven: [false; 2],
            serial: 0,
            random: seed,
        }
    }

    /// Up to `at` after the start.
    pub fn run_to(&mut self, at: Duration) {
        let end = self.start + at;
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 1_000_000, "the machine asks to be called for ever");
            while let Some(order) = self.machine.next_order() {
                self.carry_out(order);
            }
            let due = self.machine.due(self.now);
            let fact = self.coming.keys().next().map(|(at, _)| *at);
            let Some(next) = due.into_iter().chain(fact).min().filter(|at| *at <= end) else {
                break;
            };
            self.now = self.now.max(next);
            match self.coming.pop_first() {
                Some((key, coming)) if key.0 <= self.now => self.arrive(coming),
                Some((key, coming)) => {
                    self.coming.insert(key, coming);
                    self.machine.tick(self.now);
                }
                None => self.machine.tick(self.now),
            }
        }
        self.now = end;
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub fn network_changes(&mut self) {
        self.machine.take(self.now, Fact::NetworkChanged);
    }

    /// As the tables of tests have them: `1030 selected tcp no-answer`.
    pub fn lines(&self) -> Vec<String> {
        let line = |(at, notice): &(Duration, Notice)| {
            let at = at.as_millis();
            match notice {
                Notice::TransportSelected { proto, reason, .. } => {
                    format!("{at} selected {proto} {reason:?}")
                }
                Notice::TransportDegraded { proto, reason } => {
                    format!("{at} degraded {proto} {reason:?}")
                }
                Notice::TransportSwitched {
                    from,
                    to,
                    reason,
                    gap,
                } => format!("{at} switched {from} {to} {reason:?} {}", gap.as_millis()),
                Notice::PolicyRefused { proto, rule } => format!("{at} refused {proto} {rule}"),
            }
        };
        self.told.iter().map(line).collect()
    }

    fn net(&self, leg: Leg) -> Net {
        match leg {
            Leg::Udp => self.udp,
            Leg::Tcp => self.tcp,
        }
    }

    fn round_trip(&self, leg: Leg) -> Duration {
        match leg {
            Leg::Udp => ROUND_TRIP,
            Leg::Tcp => self.tcp_round_trip,
        }
    }

    fn carry_out(&mut self, order: Order) {
        assert!(self.refusal.is_none(), "{order:?} after the last one");
        match order {
            Order::Open(leg) => self.open(leg),
            Order::Close(leg) => {
                self.opened[leg as usize] = None;
                self.proven[leg as usize] = false;
            }
            Order::Probe { leg, probe, bytes } => self.probe(leg, probe, bytes),
            Order::Use(route) => self.take_route(route),
            Order::Tell(notice) => self.told.push((self.elapsed(), notice)),
            Order::GiveUp(refusal) => self.refusal = Some(refusal),
        }
    }

    fn open(&mut self, leg: Leg) {
        assert!(self.mode.allows(leg), "{leg} in {}", self.mode);
        assert_eq!(self.opened[leg as usize], None, "{leg} is open");
        self.serial += 1;
        self.opened[leg as usize] = Some(self.serial);
        match (leg, self.net(leg)) {
            (Leg::Udp, _) => self.come(leg, Duration::ZERO, Fact::Opened(leg)),
            (Leg::Tcp, Net::Refuses) => self.fail(leg),
            (Leg::Tcp, Net::Silent) => {}
            (Leg::Tcp, _) => self.come(leg, 2 * self.round_trip(leg), Fact::Opened(leg)),
        }
    }

    fn fail(&mut self, leg: Leg) {
        self.come(
            leg,
            self.round_trip(leg),
            Fact::Failed(leg, "refused".into()),
        );
    }

    fn probe(&mut self, leg: Leg, probe: u64, bytes: usize) {
        assert!(self.mode.allows(leg), "{leg} in {}", self.mode);
        assert!(self.opened[leg as usize].is_some(), "{leg} is closed");
        let answered = Fact::Answered { leg, probe };
        match self.net(leg) {
            Net::Refuses => self.fail(leg),
            Net::Silent => {}
            Net::Narrow if bytes >= 1000 => {}
            Net::Loses(percent) if self.lot() < percent => {}
            Net::Rough(percent, _) if self.lot() < percent || self.lot() < percent => {}
            Net::Rough(_, late) => {
                let back = self.late(late);
                let after = self.round_trip(leg) + self.late(late).max(back);
                self.come(leg, after, answered);
            }
            _ => self.come(leg, self.round_trip(leg), answered),
        }
    }

    fn take_route(&mut self, route: Route) {
        for leg in Leg::ALL.into_iter().filter(|leg| route.carries(*leg)) {
            assert!(self.mode.allows(leg), "{leg} in {}", self.mode);
            assert!(self.proven[leg as usize], "{leg} was never heard");
        }
        let asked = match route {
            Route::Only(leg) => leg,
            Route::Both => Leg::Tcp,
        };
        if !matches!(self.net(asked), Net::Silent | Net::Refuses | Net::Stubborn) {
            self.come(asked, self.round_trip(asked), Fact::InUse(route));
        }
    }

    fn come(&mut self, leg: Leg, after: Duration, fact: Fact) {
        self.comes_at(leg, self.now + after, Coming::Fact(fact));
    }

    fn comes_at(&mut self, leg: Leg, at: Instant, coming: Coming) {
        let Some(opening) = self.opened[leg as usize] else {
            return;
        };
        self.serial += 1;
        self.coming
            .insert((at, self.serial), (leg, opening, coming));
    }

    fn arrive(&mut self, (leg, opening, coming): (Leg, u64, Coming)) {
        if self.opened[leg as usize] != Some(opening) {
            return;
        }
        let fact = match coming {
            Coming::Fact(fact) => fact,
            Coming::Media(stream) => return self.next_media(leg, stream),
        };
        if self.net(leg) == Net::Silent && !matches!(fact, Fact::Opened(Leg::Udp)) {
            return;
        }
        match &fact {
            Fact::InUse(route) => self.use_now(leg, *route),
            Fact::Answered { .. } => self.proven[leg as usize] = true,
            _ => {}
        }
        self.machine.take(self.now, fact);
    }

    fn use_now(&mut self, leg: Leg, route: Route) {
        self.route = Some(route);
        self.stream += 1;
        self.next_media(leg, self.stream);
    }

    /// Of what the relay sends by `leg` while that is in use.
    fn next_media(&mut self, leg: Leg, stream: u64) {
        if stream != self.stream {
            return;
        }
        let period = if self.media { 20 } else { 200 };
        let next = self.now + Duration::from_millis(period);
        self.comes_at(leg, next, Coming::Media(stream));
        let late = match self.net(leg) {
            Net::Works | Net::Loses(_) => 0,
            Net::Narrow if self.media_bytes < 1000 => 0,
            Net::Rough(percent, late) if self.lot() >= percent => late,
            _ => return,
        };
        if self.media {
            self.arrives = self.arrives.max(self.now + self.late(late));
            self.comes_at(leg, self.arrives, Coming::Fact(Fact::Heard(leg)));
        }
    }

    fn late(&mut self, most: u32) -> Duration {
        Duration::from_millis(u64::from(self.lot() * most / 100))
    }

    /// Splitmix64, below a hundred.
    fn lot(&mut self) -> u32 {
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.random;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ z >> 31) % 100) as u32
    }
}
