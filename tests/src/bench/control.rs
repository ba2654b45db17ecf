//! `bench control`: what an allocation and a flow cost the control plane, beside Debian's coturn.
//!
//! Each server has CPU 1 and the clients CPU 0. `busy` is many clients at once, so that the server always has a queue, and
//! `alone` one after the other, so that it wakes for every request. Rates are per second of CPU of the server: the clients
//! are not what is measured. Memory is the growth of the resident set; sockets live in the kernel and are in neither figure.
//! `relay` writes its journal, `relay_mortal` has none: coturn keeps nothing for the next process either.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use super::pair::Pair;
use super::process;
use super::relay::{self, Wanted};
use super::running::Running;
use super::veth::flows::{UNMETERED, WAVE, raise_file_limit};
use super::veth::subject::{CHANNEL, FIRST_PORT, USER, pin_napi, start_coturn};
use super::veth::{OUTER, RELAY, median};
use crate::client::TurnClient;
use crate::home::Home;
use crate::relay::Relay;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Allocations, at most 16000: coturn has one port each.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u16).range(1..=16_000))]
    pub allocations: u16,
    /// Seconds to watch each server doing nothing.
    #[arg(long, default_value_t = 3)]
    pub idle: u64,
    /// Rounds, each server once a round; ratios are of the same round, medians are printed.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    /// Who takes part.
    #[arg(long, value_delimiter = ',', default_values_t = SUBJECTS.map(String::from))]
    pub subjects: Vec<String>,
}

/// The printed object.
#[derive(Debug, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
    pub allocations: u16,
    /// Requests on their way at a time in `busy`.
    pub at_once: usize,
    pub rows: Vec<Row>,
    pub ratios: Vec<Ratio>,
}

/// One server: medians over the rounds.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Row {
    pub subject: &'static str,
    /// By the clock, the clients' time included.
    pub busy_per_second: f64,
    pub busy_per_cpu_second: f64,
    pub alone_per_second: f64,
    pub alone_per_cpu_second: f64,
    pub bytes_per_allocation: f64,
    /// What a channel adds.
    pub bytes_per_flow: f64,
    /// CPU milliseconds a second without any traffic, before and with all allocations.
    pub idle_ms_empty: f64,
    pub idle_ms_full: f64,
}

/// A relay of ours over coturn, medians of the ratios of each round.
#[derive(Debug, Serialize)]
pub struct Ratio {
    pub subject: &'static str,
    /// Allocations per second of CPU.
    pub busy: f64,
    pub alone: f64,
    /// Memory per allocation.
    pub memory: f64,
}

const SUBJECTS: [&str; 3] = ["relay", "relay_mortal", "coturn"];

pub fn run(options: &Options) -> Result<Report> {
    crate::residue::sweep();
    raise_file_limit()?;
    let mut rounds: BTreeMap<&'static str, Vec<Row>> = BTreeMap::new();
    for round in 0..options.rounds {
        let wanted = |subject: &&str| options.subjects.iter().any(|wanted| wanted == subject);
        for subject in SUBJECTS.into_iter().filter(wanted) {
            let row = measure(subject, options).with_context(|| format!("measure {subject}"))?;
            eprintln!(
                "round {round}: {subject:<12} busy {:>6.0}/s, {:>6.0} a CPU second; alone {:>6.0}/s, {:>6.0}; {:>6.0} bytes each, {:>5.0} a flow",
                row.busy_per_second,
                row.busy_per_cpu_second,
                row.alone_per_second,
                row.alone_per_cpu_second,
                row.bytes_per_allocation,
                row.bytes_per_flow
            );
            rounds.entry(subject).or_default().push(row);
        }
    }
    let ours = SUBJECTS.into_iter().filter(|subject| *subject != "coturn");
    Ok(Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        allocations: options.allocations,
        at_once: WAVE,
        rows: rounds
            .iter()
            .map(|(subject, of)| middle(subject, of))
            .collect(),
        ratios: ours
            .filter_map(|subject| Some(ratio(subject, rounds.get(subject)?, rounds.get("coturn")?)))
            .collect(),
    })
}

fn middle(subject: &'static str, rounds: &[Row]) -> Row {
    let of = |field: fn(&Row) -> f64| median(rounds.iter().map(field));
    Row {
        subject,
        busy_per_second: of(|row| row.busy_per_second),
        busy_per_cpu_second: of(|row| row.busy_per_cpu_second),
        alone_per_second: of(|row| row.alone_per_second),
        alone_per_cpu_second: of(|row| row.alone_per_cpu_second),
        bytes_per_allocation: of(|row| row.bytes_per_allocation),
        bytes_per_flow: of(|row| row.bytes_per_flow),
        idle_ms_empty: of(|row| row.idle_ms_empty),
        idle_ms_full: of(|row| row.idle_ms_full),
    }
}

fn ratio(subject: &'static str, ours: &[Row], coturn: &[Row]) -> Ratio {
    let pairs = |field: fn(&Row) -> f64| {
        let pairs = ours.iter().zip(coturn);
        median(pairs.map(|(ours, coturn)| field(ours) / field(coturn)))
    };
    Ratio {
        subject,
        busy: pairs(|row| row.busy_per_cpu_second),
        alone: pairs(|row| row.alone_per_cpu_second),
        memory: pairs(|row| row.bytes_per_allocation),
    }
}

fn measure(subject: &'static str, options: &Options) -> Result<Row> {
    let count = f64::from(options.allocations);
    let (mut row, idle) = (Row::default(), Duration::from_secs(options.idle));
    let busy = Server::start(subject)?;
    row.subject = subject;
    row.idle_ms_empty = busy.idle(idle)?;
    let memory = busy.resident()?;
    let (wall, cpu) = busy.timed(|| busy.allocate(options.allocations, WAVE))?;
    row.busy_per_second = count / wall.as_secs_f64();
    row.busy_per_cpu_second = count / cpu.as_secs_f64();
    row.bytes_per_allocation = (busy.resident()? - memory) / count;
    row.idle_ms_full = busy.idle(idle)?;
    drop(busy);

    let alone = Server::start(subject)?;
    let (wall, cpu) = alone.timed(|| alone.allocate(options.allocations, 1))?;
    row.alone_per_second = count / wall.as_secs_f64();
    row.alone_per_cpu_second = count / cpu.as_secs_f64();
    drop(alone);

    let flows = Server::start(subject)?;
    let memory = flows.resident()?;
    flows.allocate_with_channels(options.allocations)?;
    let with_flow = (flows.resident()? - memory) / count;
    row.bytes_per_flow = with_flow - row.bytes_per_allocation;
    Ok(row)
}

/// A running server between two namespaces.
struct Server {
    running: Running,
    pair: Pair,
}

impl Server {
    fn start(subject: &str) -> Result<Self> {
        let pair = Pair::new()?;
        let card = &pair.outer_card;
        // What answers cost the clients' host is not the server's work, as it is on a veth that has no thread.
        pair.outer.run("ethtool", &["-K", card, "gro", "on"])?;
        let threaded = format!("echo 1 > /sys/class/net/{card}/threaded");
        pair.outer.run("sh", &["-c", &threaded])?;
        pin_napi(card, 0)?;
        let running = match subject {
            "relay" => Running::Relay(start_relay(Home::surviving()?, &pair)?),
            "relay_mortal" => Running::Relay(start_relay(Home::new()?, &pair)?),
            "coturn" => Running::Coturn(start_coturn(&pair.inner)?),
            other => bail!("no server {other}"),
        };
        Ok(Self { running, pair })
    }

    fn pid(&self) -> u32 {
        self.running.pid()
    }

    /// Sets up `count` allocations, `at_once` at a time, and leaves them.
    fn allocate(&self, count: u16, at_once: usize) -> Result<()> {
        self.waves(count, at_once, |_| Ok(()))
    }

    fn allocate_with_channels(&self, count: u16) -> Result<()> {
        let peer = SocketAddr::new(OUTER.parse()?, 9);
        self.waves(count, WAVE, |wave| {
            TurnClient::bind_wave(wave, CHANNEL, peer)
        })
    }

    fn waves(
        &self,
        count: u16,
        at_once: usize,
        then: impl Fn(&mut [TurnClient]) -> Result<()> + Sync,
    ) -> Result<()> {
        let server = SocketAddr::new(RELAY.parse()?, 3478);
        let all: Vec<u16> = (0..count).collect();
        self.pair.outer.enter(|| {
            let mut cpu = CpuSet::new();
            cpu.set(0)?;
            sched_setaffinity(Pid::from_raw(0), &cpu)?;
            for wave in all.chunks(at_once) {
                let bind = |i: &u16| Ok(UdpSocket::bind((OUTER, FIRST_PORT + i))?);
                let sockets = wave.iter().map(bind).collect::<Result<_>>()?;
                let mut wave = TurnClient::allocate_wave(sockets, server, USER.0, USER.1)?;
                then(&mut wave)?;
            }
            Ok(())
        })
    }

    /// How long `act` took by the clock, and of the server's CPU.
    fn timed(&self, act: impl FnOnce() -> Result<()>) -> Result<(Duration, Duration)> {
        let (cpu, start) = (self.run_time()?, Instant::now());
        act()?;
        let wall = start.elapsed();
        // What was left for later is part of it.
        std::thread::sleep(Duration::from_millis(200));
        Ok((wall, self.run_time()? - cpu))
    }

    fn run_time(&self) -> Result<Duration> {
        process::run_time(self.pid())
    }

    fn resident(&self) -> Result<f64> {
        process::resident(self.pid())
    }

    /// CPU milliseconds a second over `time` without traffic.
    fn idle(&self, time: Duration) -> Result<f64> {
        let before = self.run_time()?;
        std::thread::sleep(time);
        let used = self.run_time()? - before;
        Ok(used.as_secs_f64() * 1000.0 / time.as_secs_f64())
    }
}

fn start_relay(home: Home, pair: &Pair) -> Result<Relay> {
    let wanted = Wanted {
        config: UNMETERED,
        cpu: Some(1),
        ..Wanted::default()
    };
    relay::start(Arc::new(home), &pair.inner, &pair.inner_card, &wanted)
}
