//! One call and its schedule: on UDP, UDP cut, on TLS, UDP restored, back on UDP, over. Moves on with time, and with what the
//! connector says.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::connector::Leg;
use super::line::{Line, Switch};
use super::measure::Measure;
use super::{Outcome, Place, Uplink};

/// How long a state that works is shown: to be followed, and to be measured.
const STEADY: Duration = Duration::from_secs(6);
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
    uplink: &'l Uplink,
    line: Line<'l>,
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
        let line = Line::start(place, &measure)?;
        let now = Instant::now();
        Ok(Self {
            uplink: place.uplink,
            line,
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
        let heard = self.line.hear(&self.measure)?;
        heard.into_iter().for_each(|news| self.say(news));
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
            .line
            .leg()
            .map_or("not connected".to_owned(), |leg| format!("on {leg}"));
        let [callee, caller] = self.line.pictures();
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

    fn step(&mut self, now: Instant) -> Result<()> {
        let waited = now.saturating_duration_since(self.entered);
        match self.stage {
            Stage::Calling => self.answer(now, waited)?,
            Stage::OnUdp if self.line.leg() != Some(Leg::Udp) => self.enter(Stage::Calling, now),
            Stage::OnUdp if waited >= STEADY => self.cut()?,
            Stage::Cut if self.line.leg() == Some(Leg::Tls) => self.on_tls(),
            Stage::OnTls if waited >= STEADY => self.restore()?,
            Stage::Restored if self.line.leg() == Some(Leg::Udp) => self.on_udp(),
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
        if self.measure.to_callee.received() > 0 {
            self.line.answer()?;
        }
        if self.line.leg() == Some(Leg::Udp) && self.measure.flows() {
            self.say("on UDP, video both ways".to_owned());
            self.enter(Stage::OnUdp, now);
        }
        ensure!(
            waited < CALLING,
            "no call within {CALLING:?}: {}; the connector says:\n{}",
            self.status(),
            self.line.log()
        );
        Ok(())
    }

    fn cut(&mut self) -> Result<()> {
        let now = Instant::now();
        self.measure.udp_cut(now);
        let how = self.uplink.block_udp()?;
        self.say(format!("UDP is cut: {how}"));
        self.enter(Stage::Cut, now);
        Ok(())
    }

    fn on_tls(&mut self) {
        let Switch { at, reason } = self.line.switch();
        let took = self.measure.on_tls(at, self.line.pictures());
        let gap = self.measure.longest_silence(at).as_millis();
        self.say(format!(
            "on TLS {took} ms after the cut ({reason}); {gap} ms without a packet"
        ));
        self.enter(Stage::OnTls, at);
    }

    fn restore(&mut self) -> Result<()> {
        let now = Instant::now();
        self.measure.udp_restored(now, self.line.pictures());
        let how = self.uplink.pass_udp()?;
        self.say(format!("UDP passes again: {how}"));
        self.enter(Stage::Restored, now);
        Ok(())
    }

    fn on_udp(&mut self) {
        let Switch { at, reason } = self.line.switch();
        let took = self.measure.on_udp(at);
        self.say(format!(
            "back on UDP {took} ms after it passes again ({reason})"
        ));
        self.enter(Stage::Back, at);
    }

    fn hang_up(&mut self) -> Result<()> {
        self.measure.last_packets(Instant::now());
        self.line.cameras_off()?;
        self.enter(Stage::Draining, Instant::now());
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.measure.end(self.line.pictures());
        self.uplink.pass_udp()?;
        self.line.close()?;
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
}
