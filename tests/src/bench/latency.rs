//! `bench latency`: the one-way delay that this relay, the XDP reflector, an nftables forward and Debian's coturn add.
//!
//! One veth pair. A thread on CPU 0 writes the time into a frame, sends it from a packet socket, and spins on the UDP
//! socket where it comes out: one clock, one packet at a time, no wakeup of the receiver in the figure. The delay of
//! `direct` is that of the same frame into a socket at the other end of the pair; what a subject adds to it includes the
//! way back over the pair, as a relay of its own does. Subjects take turns; processes that relay have CPU 1.

mod subject;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use super::veth::{Lab, OUTER_CARD, median};
use crate::privileged;
use crate::wire::sending_socket;
use subject::Subject;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Packets a subject and round.
    #[arg(long, default_value_t = 2000)]
    pub packets: usize,
    /// Rounds, each subject once a round.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Packets per second.
    #[arg(long, default_value_t = 2000)]
    pub rate: u32,
    /// Application bytes a packet.
    #[arg(long, default_value_t = 160)]
    pub payload: usize,
    #[arg(long, value_delimiter = ',', default_values_t = subject::ALL.map(String::from))]
    pub subjects: Vec<String>,
}

/// The printed object.
#[derive(Debug, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
    pub rate: u32,
    pub payload: usize,
    pub rows: Vec<Row>,
}

/// One subject: medians over the rounds, microseconds.
#[derive(Debug, Serialize)]
pub struct Row {
    pub subject: String,
    pub packets: usize,
    pub lost: usize,
    pub p50_us: f64,
    pub p99_us: f64,
    /// Over `direct`, of the same round.
    pub added_p50_us: f64,
    pub added_p99_us: f64,
}

/// One subject in one round.
#[derive(Debug, Default, Clone, Copy)]
struct Sample {
    lost: usize,
    p50: f64,
    p99: f64,
}

/// A packet that takes longer is lost.
const LATEST: Duration = Duration::from_millis(50);

pub fn run(options: &Options) -> Result<Report> {
    privileged::require_root("namespaces and BPF")?;
    crate::residue::sweep();
    ensure!(options.rate > 0, "--rate must be 1 or more");
    let lab = Lab::new()?;
    // The NAPI thread of `bench veth` would be woken on another CPU for every packet.
    let threaded = format!("echo 0 > /sys/class/net/{}/threaded", lab.card);
    lab.inner.run("sh", &["-c", &threaded])?;
    let mut samples: BTreeMap<&str, Vec<Sample>> = BTreeMap::new();
    for round in 0..options.rounds {
        for name in subject::ALL {
            if name != "direct" && !options.subjects.iter().any(|wanted| wanted == name) {
                continue;
            }
            let subject = Subject::start(name, &lab, options.payload)
                .with_context(|| format!("start {name}"))?;
            let sample = lab
                .outer
                .enter(|| measure(&subject, options))
                .with_context(|| format!("measure {name}"))?;
            eprintln!(
                "round {round}: {name:<16} p50 {:>7.1} us, p99 {:>7.1} us, {} lost",
                sample.p50, sample.p99, sample.lost
            );
            samples.entry(name).or_default().push(sample);
        }
    }
    let direct = samples.get("direct").context("direct")?.clone();
    let rows = subject::ALL
        .into_iter()
        .filter_map(|name| Some(row(name, samples.get(name)?, &direct, options.packets)))
        .collect();
    Ok(Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        rate: options.rate,
        payload: options.payload,
        rows,
    })
}

fn row(subject: &str, of: &[Sample], direct: &[Sample], packets: usize) -> Row {
    let pairs = || of.iter().zip(direct);
    Row {
        subject: subject.to_owned(),
        packets: packets * of.len(),
        lost: of.iter().map(|sample| sample.lost).sum(),
        p50_us: median(of.iter().map(|sample| sample.p50)),
        p99_us: median(of.iter().map(|sample| sample.p99)),
        added_p50_us: median(pairs().map(|(sample, direct)| sample.p50 - direct.p50)),
        added_p99_us: median(pairs().map(|(sample, direct)| sample.p99 - direct.p99)),
    }
}

/// Inside the sender's namespace.
fn measure(subject: &Subject, options: &Options) -> Result<Sample> {
    let mut cpu = CpuSet::new();
    cpu.set(0)?;
    sched_setaffinity(Pid::from_raw(0), &cpu)?;
    let sender = sending_socket(OUTER_CARD)?;
    let mut frame = subject.frame.clone();
    let stamp = frame.len() - options.payload;
    let mut buffer = [0; 2048];
    let (start, pause) = (Instant::now(), Duration::from_secs(1) / options.rate);
    let mut delays = Vec::with_capacity(options.packets);
    // The first packets find cold caches and ARP.
    const WARM: usize = 50;
    for number in 0..options.packets + WARM {
        let due = start + pause * number as u32;
        while Instant::now() < due {
            std::hint::spin_loop();
        }
        frame[stamp..stamp + 8].copy_from_slice(&(number as u64).to_be_bytes());
        let sent = Instant::now();
        sender.send(&frame)?;
        let arrived = loop {
            if let Ok(length) = subject.receiver.recv(&mut buffer) {
                let data = &buffer[..length];
                let at = length.saturating_sub(options.payload);
                if data.get(at..at + 8) == Some(&(number as u64).to_be_bytes()) {
                    break Some(sent.elapsed());
                }
            }
            if sent.elapsed() > LATEST {
                break None;
            }
        };
        if number >= WARM {
            delays.extend(arrived);
        }
    }
    ensure!(!delays.is_empty(), "nothing arrived");
    delays.sort_unstable();
    let at = |share: f64| {
        let index = ((delays.len() - 1) as f64 * share).round() as usize;
        delays[index].as_nanos() as f64 / 1000.0
    };
    Ok(Sample {
        lost: options.packets - delays.len(),
        p50: at(0.5),
        p99: at(0.99),
    })
}
