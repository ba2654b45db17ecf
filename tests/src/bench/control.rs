//! `bench control`: what an allocation and a flow cost the control plane, beside Debian's coturn.
//!
//! One client sets up allocations one after the other; rates are per second of CPU of the server, so that the client is
//! not what is measured. Memory is the growth of the resident set; sockets live in the kernel and are in neither figure.

use std::net::{SocketAddr, UdpSocket};
use std::process::Child;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use super::pair::Pair;
use super::process;
use super::veth::subject::{CHANNEL, FIRST_PORT, USER, start_coturn};
use super::veth::{OUTER, RELAY};
use crate::client::TurnClient;
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
}

/// The printed object.
#[derive(Debug, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
    pub allocations: u16,
    pub rows: Vec<Row>,
    /// Allocations per second of CPU, this relay over coturn.
    pub rate_to_coturn: f64,
    /// Memory per allocation, this relay over coturn.
    pub memory_to_coturn: f64,
}

/// One server.
#[derive(Debug, Serialize)]
pub struct Row {
    pub subject: &'static str,
    /// By the clock, the client's time included.
    pub allocations_per_second: f64,
    pub allocations_per_cpu_second: f64,
    pub bytes_per_allocation: f64,
    /// What a channel adds.
    pub bytes_per_flow: f64,
    /// CPU milliseconds a second without any traffic, before and with all allocations.
    pub idle_ms_empty: f64,
    pub idle_ms_full: f64,
}

pub fn run(options: &Options) -> Result<Report> {
    crate::netns::remove_stale();
    let mut rows = Vec::new();
    for subject in ["relay", "coturn"] {
        let row = measure(subject, options).with_context(|| format!("measure {subject}"))?;
        eprintln!(
            "{subject:<8} {:>8.0} allocations/s, {:>8.0} a CPU second, {:>8.0} bytes each, {:>6.0} bytes a flow",
            row.allocations_per_second,
            row.allocations_per_cpu_second,
            row.bytes_per_allocation,
            row.bytes_per_flow
        );
        rows.push(row);
    }
    Ok(Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        allocations: options.allocations,
        rate_to_coturn: rows[0].allocations_per_cpu_second / rows[1].allocations_per_cpu_second,
        memory_to_coturn: rows[0].bytes_per_allocation / rows[1].bytes_per_allocation,
        rows,
    })
}

fn measure(subject: &'static str, options: &Options) -> Result<Row> {
    let count = f64::from(options.allocations);
    let bare = Server::start(subject)?;
    let idle = Duration::from_secs(options.idle);
    let idle_ms_empty = bare.idle(idle)?;
    let (memory, cpu, start) = (bare.resident()?, bare.run_time()?, Instant::now());
    bare.allocate(options.allocations, false)?;
    let (wall, cpu) = (start.elapsed(), bare.run_time()? - cpu);
    let bytes_per_allocation = (bare.resident()? - memory) / count;
    let idle_ms_full = bare.idle(idle)?;
    drop(bare);

    let flows = Server::start(subject)?;
    let memory = flows.resident()?;
    flows.allocate(options.allocations, true)?;
    let with_flow = (flows.resident()? - memory) / count;
    Ok(Row {
        subject,
        allocations_per_second: count / wall.as_secs_f64(),
        allocations_per_cpu_second: count / cpu.as_secs_f64(),
        bytes_per_allocation,
        bytes_per_flow: with_flow - bytes_per_allocation,
        idle_ms_empty,
        idle_ms_full,
    })
}

/// A running server between two namespaces.
struct Server {
    running: Running,
    pair: Pair,
}

enum Running {
    Relay(Relay, std::path::PathBuf),
    Coturn(Child),
}

impl Drop for Running {
    fn drop(&mut self) {
        match self {
            Self::Relay(_, config) => drop(std::fs::remove_file(config)),
            Self::Coturn(child) => {
                let _ = child.kill();
                let _ = child.wait();
            }
        }
    }
}

impl Server {
    fn start(subject: &str) -> Result<Self> {
        let pair = Pair::new()?;
        let inner = &pair.inner;
        let running = match subject {
            "relay" => {
                let config =
                    std::env::temp_dir().join(format!("relay-bench-{}.toml", std::process::id()));
                std::fs::write(
                    &config,
                    "[limits]\nallocations = 20000\nallocations_per_user = 20000\nunauthenticated_per_second = 1000000\n",
                )?;
                let user = format!("{}:{}", USER.0, USER.1);
                let listen = format!("udp/{RELAY}:3478");
                let arguments = [
                    "--config",
                    config.to_str().context("a path")?,
                    "--interface",
                    &pair.inner_card,
                    "--listen",
                    &listen,
                    "--relay-address",
                    RELAY,
                    "--user",
                    &user,
                    "--realm",
                    "bench",
                    "--allow-peer",
                    "10.72.0.0/24",
                ];
                Running::Relay(Relay::start(inner, &arguments)?, config)
            }
            "coturn" => Running::Coturn(start_coturn(inner)?),
            other => bail!("no server {other}"),
        };
        Ok(Self { running, pair })
    }

    fn pid(&self) -> u32 {
        match &self.running {
            Running::Relay(relay, _) => relay.pid(),
            Running::Coturn(child) => child.id(),
        }
    }

    /// Sets up `count` allocations, with a channel each if wanted, and leaves them.
    fn allocate(&self, count: u16, channels: bool) -> Result<()> {
        let server = SocketAddr::new(RELAY.parse()?, 3478);
        let peer = SocketAddr::new(OUTER.parse()?, 9);
        self.pair.outer.enter(|| {
            for i in 0..count {
                let socket = UdpSocket::bind((OUTER, FIRST_PORT + i))?;
                let mut client = TurnClient::allocate(socket, server, USER.0, USER.1)
                    .with_context(|| format!("allocation {i}"))?;
                if channels {
                    client.bind(CHANNEL, peer)?;
                }
            }
            Ok(())
        })
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
