//! One call and its schedule: on UDP, UDP cut, on TLS, UDP restored, back on UDP, over. Moves on with time, and with what the
//! connector says.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::connector::{Connector, Event, Leg};
use super::measure::Measure;
use super::phone::{Phone, Tracks};
use super::{Outcome, Place};

/// How long a state that works is shown: to be followed, and to be measured.
pub const STEADY: Duration = Duration::from_secs(6);
/// To be on UDP with packets both ways.
const CALLING: Duration = Duration::from_secs(60);
/// By default UDP is given up after 2.5 s of silence.
const SWITCHING: Duration = Duration::from_secs(15);
/// By default it is returned to after 15 s on TLS.
const RETURNING: Duration = Duration::from_secs(60);
/// For what is under way at the end. Late or lost is told by waiting.
const DRAINING: Duration = Duration::from_secs(3);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Calling,
    OnUdp,
    Cut,
    OnTls,
    Restored,
    Back,
    Draining,
    Over,
}

/// Hangs up when dropped.
pub struct Round<'l> {
    place: Place<'l>,
    callee: Phone,
    caller: Option<Phone>,
    connector: Connector,
    /// The connector's local port.
    port: Option<SocketAddr>,
    leg: Option<Leg>,
    /// Why it changed last, and when.
    switched: (String, Instant),
    measure: Measure,
    started: Instant,
    stage: Stage,
    entered: Instant,
    news: Vec<String>,
    told: usize,
}

impl<'l> Round<'l> {
    pub fn start(place: Place<'l>) -> Result<Self> {
        place.uplink.pass_udp()?;
        let measure = Measure::default();
        let tracks = Tracks {
            said: measure.to_caller.clone(),
            heard: measure.to_callee.clone(),
        };
        let callee = Phone::start(place.callee, place.callee_ip, None, tracks)?;
        let connector = Connector::start(&place, callee.address)?;
        let now = Instant::now();
        Ok(Self {
            place,
            callee,
            caller: None,
            connector,
            port: None,
            leg: None,
            switched: (String::new(), now),
            measure,
            started: now,
            stage: Stage::Calling,
            entered: now,
            news: Vec::new(),
            told: 0,
        })
    }

    /// To be called every few milliseconds. An error is one of the lab; what the connector fails to do is in the outcome.
    pub fn tick(&mut self) -> Result<()> {
        if self.is_over() {
            return Ok(());
        }
        while let Some((at, event)) = self.connector.next() {
            self.hear(at, event)?;
        }
        self.connector.check()?;
        self.callee.check()?;
        self.caller.as_mut().map_or(Ok(()), Phone::check)?;
        self.step(Instant::now())
    }

    pub fn is_over(&self) -> bool {
        self.stage == Stage::Over
    }

    /// Once it is over.
    pub fn outcome(&self) -> Outcome {
        self.measure.outcome()
    }

    /// What has happened so far.
    pub fn news(&self) -> &[String] {
        &self.news
    }

    /// Says on stderr what it has not said yet.
    pub fn tell(&mut self) {
        for line in &self.news[self.told..] {
            eprintln!("call: {line}");
        }
        self.told = self.news.len();
    }

    /// How it is now.
    pub fn status(&self) -> String {
        let leg = self
            .leg
            .map_or("not connected".to_owned(), |leg| format!("on {leg}"));
        let [callee, caller] = self.pictures();
        let Measure {
            to_callee,
            to_caller,
            ..
        } = &self.measure;
        format!(
            "{leg}; pictures decoded: callee {callee}, caller {caller}; packets {} and {}, {} missing, {} doubled; {}",
            to_callee.received(),
            to_caller.received(),
            self.measure.missing(),
            self.measure.duplicated(),
            self.waits_for()
        )
    }

    fn waits_for(&self) -> &'static str {
        match self.stage {
            Stage::Calling => "waiting for UDP, and pictures both ways",
            Stage::OnUdp => "all is well",
            Stage::Cut => "UDP is cut, waiting for the connector to notice",
            Stage::OnTls => "UDP is cut, the video goes on",
            Stage::Restored => "UDP works, waiting for 10 good probes and the end of 15 s on TLS",
            Stage::Back => "all is well again",
            Stage::Draining | Stage::Over => "over",
        }
    }

    fn hear(&mut self, at: Instant, event: Event) -> Result<()> {
        match event {
            Event::Listening { udp } => self.port = udp.first().copied(),
            Event::TransportSelected { proto } => self.leg = Some(proto),
            Event::Ready { relayed } => {
                self.say(format!("the caller is reachable at {relayed}"));
                self.pick_up()?;
            }
            Event::TransportSwitched { to, reason } => {
                self.leg = Some(to);
                self.switched = (reason, at);
            }
            Event::Reconnecting { reason } => {
                self.leg = None;
                self.say(format!("the connector begins anew: {reason}"));
            }
            Event::Other => {}
        }
        Ok(())
    }

    /// The caller calls.
    fn pick_up(&mut self) -> Result<()> {
        if self.caller.is_some() {
            return Ok(());
        }
        let port = self
            .port
            .context("the connector was ready before it listened")?;
        let tracks = Tracks {
            said: self.measure.to_callee.clone(),
            heard: self.measure.to_caller.clone(),
        };
        let namespace = &self.place.uplink.caller;
        let loopback = Ipv4Addr::LOCALHOST.to_string();
        let mut caller = Phone::start(namespace, &loopback, Some(port), tracks)?;
        caller.camera_on(namespace)?;
        self.caller = Some(caller);
        Ok(())
    }

    fn step(&mut self, now: Instant) -> Result<()> {
        let waited = now.saturating_duration_since(self.entered);
        match self.stage {
            Stage::Calling => self.answer(now, waited)?,
            Stage::OnUdp if self.leg != Some(Leg::Udp) => self.enter(Stage::Calling, now),
            Stage::OnUdp if waited >= STEADY => self.cut()?,
            Stage::Cut if self.leg == Some(Leg::Tls) => self.on_tls(),
            Stage::OnTls if waited >= STEADY => self.restore()?,
            Stage::Restored if self.leg == Some(Leg::Udp) => self.on_udp(),
            Stage::Back if waited >= STEADY => self.hang_up()?,
            Stage::Cut if waited >= SWITCHING => self.hang_up()?,
            Stage::Restored if waited >= RETURNING => self.hang_up()?,
            Stage::Draining if self.measure.is_whole() || waited >= DRAINING => self.end()?,
            _ => {}
        }
        Ok(())
    }

    /// The callee does, to whoever calls.
    fn answer(&mut self, now: Instant, waited: Duration) -> Result<()> {
        if self.measure.to_callee.received() > 0 && !self.callee.has_camera_on() {
            self.callee.camera_on(self.place.callee)?;
        }
        if self.leg == Some(Leg::Udp) && self.measure.flows() {
            self.say("on UDP, video both ways".to_owned());
            self.enter(Stage::OnUdp, now);
        }
        ensure!(
            waited < CALLING,
            "no call within {CALLING:?}: {}; the connector says:\n{}",
            self.status(),
            self.connector.log()
        );
        Ok(())
    }

    fn cut(&mut self) -> Result<()> {
        let now = Instant::now();
        self.measure.udp_cut(now);
        let how = self.place.uplink.block_udp()?;
        self.say(format!("UDP is cut: {how}"));
        self.enter(Stage::Cut, now);
        Ok(())
    }

    fn on_tls(&mut self) {
        let (reason, at) = self.switched.clone();
        let took = self.measure.on_tls(at, self.pictures());
        let gap = self.measure.longest_silence(at).as_millis();
        self.say(format!(
            "on TLS {took} ms after the cut ({reason}); {gap} ms without a packet"
        ));
        self.enter(Stage::OnTls, at);
    }

    fn restore(&mut self) -> Result<()> {
        let now = Instant::now();
        self.measure.udp_restored(now, self.pictures());
        let how = self.place.uplink.pass_udp()?;
        self.say(format!("UDP passes again: {how}"));
        self.enter(Stage::Restored, now);
        Ok(())
    }

    fn on_udp(&mut self) {
        let (reason, at) = self.switched.clone();
        let took = self.measure.on_udp(at);
        self.say(format!(
            "back on UDP {took} ms after it passes again ({reason})"
        ));
        self.enter(Stage::Back, at);
    }

    fn hang_up(&mut self) -> Result<()> {
        self.measure.last_packets(Instant::now());
        self.callee.camera_off()?;
        self.caller.as_mut().map_or(Ok(()), Phone::camera_off)?;
        self.enter(Stage::Draining, Instant::now());
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.measure.end(self.pictures());
        self.place.uplink.pass_udp()?;
        self.connector.stop()?;
        self.say(self.measure.outcome().text());
        self.enter(Stage::Over, Instant::now());
        Ok(())
    }

    fn enter(&mut self, stage: Stage, at: Instant) {
        (self.stage, self.entered) = (stage, at);
    }

    fn say(&mut self, text: String) {
        let seconds = self.started.elapsed().as_secs_f64();
        self.news.push(format!("{seconds:5.1} s  {text}"));
    }

    /// Decoded so far: callee, caller.
    fn pictures(&self) -> [u64; 2] {
        let caller = self.caller.as_ref().map_or(0, Phone::pictures);
        [self.callee.pictures(), caller]
    }
}
