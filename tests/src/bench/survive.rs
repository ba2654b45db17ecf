//! `bench survive`: packets lost while the relay is killed, while the next one adopts what it left, and while one hands
//! over to another, under a steady stream through all sessions.
//!
//! The generator and the receiver of `bench veth` count what was sent and what arrived. What the relay's own program
//! saw and relayed comes from its pinned counters, so that a frame lost on the wire (veth's ring holds 256) is told from
//! one lost by the relay.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use aya::maps::{Map, MapData, PerCpuArray};
use relay_common::{Counter, maps};
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use super::veth::generator::Generator;
use super::veth::subject::{Subject, hurry_napi};
use super::veth::{Lab, OUTER_CARD};
use crate::eventually::within;
use crate::privileged;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[arg(long, default_value_t = 1000)]
    pub sessions: u32,
    /// Packets per second over all sessions.
    #[arg(long, default_value_t = 160_000)]
    pub pace: u64,
    /// Seconds of the stream around each event.
    #[arg(long, default_value_t = 4.0)]
    pub seconds: f64,
}

/// The printed object. Lost: reached the relay's program, which did not relay it, and did not arrive.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
    pub sessions: u32,
    pub pps: f64,
    pub lost_on_kill: u64,
    pub lost_on_restart: u64,
    /// One process leaves, another begins; its program replaces the old one in the pinned link.
    pub lost_on_upgrade: u64,
    pub adopted_sessions: u64,
    /// Clients whose next Refresh succeeded.
    pub refreshed: usize,
    pub streams: Vec<Stream>,
}

/// One event under the stream.
#[derive(Debug, Serialize)]
pub struct Stream {
    pub event: &'static str,
    pub sent: u64,
    /// By the relay's program in the kernel.
    pub relayed: u64,
    /// Up to userspace, which may not be there.
    pub passed: u64,
    pub received: u64,
    /// Neither relayed nor passed by the program, or lost behind it: full rings of veth.
    pub lost_on_the_wire: u64,
    /// At most what was passed and did not arrive.
    pub lost: u64,
}

pub fn run(options: &Options) -> Result<Report> {
    privileged::require_root("namespaces and BPF")?;
    crate::residue::sweep();
    let lab = Lab::new()?;
    // Or the next relay's start, on the same two CPUs, would count as loss of the one before.
    hurry_napi(&lab.card)?;
    let mut subject = Subject::surviving(&lab.outer, &lab.inner, &lab.card, options.sessions)?;
    let template = subject.packet(160)?;
    let mut bench = Bench {
        generator: Generator::new(&lab.outer, OUTER_CARD, template, Some(options.pace))?,
        lab: &lab,
        time: Duration::from_secs_f64(options.seconds),
        streams: Vec::new(),
    };

    let mut left = None;
    let home = subject.home()?;
    let pins = home.pins();
    bench.stream("nothing", &pins, || Ok(()))?;
    bench.stream("kill -9", &pins, || {
        left = Some(subject.end(crate::relay::Relay::kill)?);
        Ok(())
    })?;
    bench.stream("restart", &pins, || {
        let left = left.take().context("a home")?;
        let next = subject.start_next(&lab.inner, &lab.card, left)?;
        adopted(next)
    })?;
    let adopted_sessions = subject.kernel_sessions()?;
    bench.stream("upgrade", &pins, || {
        let left = subject.end(crate::relay::Relay::leave)?;
        adopted(subject.start_next(&lab.inner, &lab.card, left)?)
    })?;
    let refreshed = subject
        .clients
        .iter_mut()
        .filter_map(|client| client.refresh(600).ok())
        .count();

    let sent: u64 = bench.streams.iter().map(|stream| stream.sent).sum();
    let lost = |event: &str| {
        let stream = bench.streams.iter().find(|stream| stream.event == event);
        stream.map_or(0, |stream| stream.lost)
    };
    Ok(Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        sessions: options.sessions,
        pps: sent as f64 / (options.seconds * bench.streams.len() as f64),
        lost_on_kill: lost("kill -9"),
        lost_on_restart: lost("restart"),
        lost_on_upgrade: lost("upgrade"),
        adopted_sessions,
        refreshed,
        streams: bench.streams,
    })
}

/// The stream must outlast this.
fn adopted(next: &crate::relay::Relay) -> Result<()> {
    within(Duration::from_secs(10), "the adoption is over", || {
        next.log().contains("adoption is over").then_some(())
    })
}

struct Bench<'l> {
    generator: Generator<'l>,
    lab: &'l Lab,
    time: Duration,
    streams: Vec<Stream>,
}

#[derive(Clone, Copy)]
struct Counts {
    sent: u64,
    received: u64,
    relayed: u64,
    passed: u64,
}

impl Bench<'_> {
    /// `act` happens in the middle of the stream.
    fn stream(
        &mut self,
        event: &'static str,
        pins: &Path,
        act: impl FnOnce() -> Result<()>,
    ) -> Result<()> {
        let before = self.counts(pins)?;
        let (generator, time) = (&mut self.generator, self.time);
        let in_time = std::thread::scope(|scope| {
            let stream = scope.spawn(move || generator.run(time));
            std::thread::sleep(time / 8);
            act()?;
            let in_time = !stream.is_finished();
            stream.join().ok().context("the generator panicked")??;
            anyhow::Ok(in_time)
        })?;
        ensure!(
            in_time,
            "{event} took longer than the stream: give --seconds more"
        );
        // What is under way arrives.
        std::thread::sleep(Duration::from_millis(200));
        let after = self.counts(pins)?;
        let sent = after.sent - before.sent;
        let received = after.received - before.received;
        let relayed = after.relayed - before.relayed;
        let passed = after.passed - before.passed;
        let stream = Stream {
            event,
            sent,
            relayed,
            passed,
            received,
            lost_on_the_wire: sent.saturating_sub(received).saturating_sub(passed),
            lost: passed.min(sent.saturating_sub(received)),
        };
        eprintln!("{stream:?}");
        self.streams.push(stream);
        Ok(())
    }

    fn counts(&self, pins: &Path) -> Result<Counts> {
        let data = MapData::from_pin(pins.join(maps::COUNTERS))?;
        let counters: PerCpuArray<_, u64> = Map::PerCpuArray(data).try_into()?;
        let mut counts = Counts {
            sent: self.generator.sent()?,
            received: self.lab.received()?,
            relayed: 0,
            passed: 0,
        };
        for (i, counter) in Counter::ALL.iter().enumerate() {
            let value: u64 = counters.get(&(i as u32), 0)?.iter().sum();
            match counter {
                Counter::Transmitted | Counter::Redirected => counts.relayed += value,
                // Control traffic, and what is not for the relay.
                Counter::NotIp | Counter::NotUdp | Counter::NotOurs | Counter::NotChannelData => {}
                _ => counts.passed += value,
            }
        }
        Ok(counts)
    }
}
