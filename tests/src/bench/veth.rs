//! `bench veth`: packets per second and CPU per packet of this relay, a bare XDP_TX reflector and Debian's coturn, in
//! turn, on one veth pair with one generator.
//!
//! The generator (live frames) has CPU 0; whatever relays has CPU 1, and so has the receiver, an XDP program that
//! counts and drops. Rates are what arrived, under as much as the generator gives for the two in the kernel, and under
//! a pace for coturn, which loses most of a flood. CPU is the run time of the relay side's NAPI thread, receiver
//! included, and of the relaying process, per packet that arrived. The NAPI thread has an interrupt's priority.

pub mod flows;
pub mod generator;
pub mod subject;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use crate::netns::NetNs;
use crate::topology::attach;
use generator::Generator;
use subject::{Cpu, Subject};

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    #[arg(long, value_delimiter = ',', default_values_t = [160, 1200])]
    pub payloads: Vec<usize>,
    #[arg(long, value_delimiter = ',', default_values_t = [1, 1000])]
    pub sessions: Vec<u32>,
    /// Rounds, each subject once a round; ratios are of the same round, medians are printed.
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Who takes part.
    #[arg(long, value_delimiter = ',', default_values_t = SUBJECTS.map(String::from))]
    pub subjects: Vec<String>,
    /// Packets per second offered to coturn.
    #[arg(long, default_value_t = 130_000)]
    pub coturn_pace: u64,
}

/// The printed object.
#[derive(Debug, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
    /// How sessions of a relay are spread over clients.
    pub flows: Vec<Spread>,
    pub rows: Vec<Row>,
    pub ratios: Vec<Ratio>,
}

/// So many sessions are these.
#[derive(Debug, Serialize)]
pub struct Spread {
    pub sessions: u32,
    /// Allocations, each of a 5-tuple of its own.
    pub clients: u32,
    /// Of each client, to as many peers.
    pub channels: u32,
}

/// One subject in one setting: medians over the rounds.
#[derive(Debug, Serialize)]
pub struct Row {
    pub subject: &'static str,
    pub payload: usize,
    pub sessions: u32,
    pub offered_pps: f64,
    pub pps: f64,
    pub cpu_ns: f64,
}

/// This relay against the others, medians of the ratios of each round.
#[derive(Debug, Serialize)]
pub struct Ratio {
    pub payload: usize,
    pub sessions: u32,
    /// Packets per second, relay over reflector.
    pub pps_to_reflector: f64,
    /// CPU per packet, coturn over relay.
    pub cpu_coturn_to_relay: f64,
    /// Packets per second, relay over coturn.
    pub pps_to_coturn: f64,
}

/// One measurement.
#[derive(Debug, Clone, Copy)]
struct Sample {
    offered: f64,
    pps: f64,
    cpu_ns: f64,
}

/// Addresses of the pair: who generates and receives, who relays.
pub const OUTER: &str = "10.72.0.2";
pub const RELAY: &str = "10.72.0.1";

/// coturn relays a hundredth of a relay's packets however many sessions there are, and takes minutes to set up.
const COTURN_SESSIONS: u32 = 10_000;
const SUBJECTS: [&str; 3] = ["reflector", "relay", "coturn"];

pub fn run(options: &Options) -> Result<Report> {
    crate::residue::sweep();
    let flows: Vec<Spread> = options.sessions.iter().map(spread).collect::<Result<_>>()?;
    let lab = Lab::new()?;
    // Or what else the machine does would decide how many packets are relayed.
    subject::hurry_napi(&lab.card)?;
    let mut samples: BTreeMap<(u32, usize, &'static str), Vec<Sample>> = BTreeMap::new();
    for sessions in &options.sessions {
        for round in 0..options.rounds {
            for name in SUBJECTS
                .into_iter()
                .filter(|s| options.subjects.iter().any(|o| o == s))
            {
                if name == "coturn" && *sessions > COTURN_SESSIONS {
                    continue;
                }
                let subject = Subject::start(name, &lab.outer, &lab.inner, &lab.card, *sessions)
                    .with_context(|| format!("start {name}"))?;
                for payload in &options.payloads {
                    let sample = lab.measure(&subject, *payload, options)?;
                    eprintln!(
                        "round {round}: {name:<10} {sessions:>5} sessions {payload:>5} B: {:>10.0} pps of {:>10.0}, {:>6.0} ns CPU",
                        sample.pps, sample.offered, sample.cpu_ns
                    );
                    samples
                        .entry((*sessions, *payload, name))
                        .or_default()
                        .push(sample);
                }
            }
        }
    }
    Ok(report(&samples, flows, options))
}

fn report(
    samples: &BTreeMap<(u32, usize, &'static str), Vec<Sample>>,
    flows: Vec<Spread>,
    options: &Options,
) -> Report {
    let mut rows = Vec::new();
    let mut ratios = Vec::new();
    for ((sessions, payload, subject), of) in samples {
        let take = |f: fn(&Sample) -> f64| median(of.iter().map(f));
        let (offered_pps, pps, cpu_ns) = (take(|s| s.offered), take(|s| s.pps), take(|s| s.cpu_ns));
        rows.push(Row {
            subject,
            payload: *payload,
            sessions: *sessions,
            offered_pps,
            pps,
            cpu_ns,
        });
    }
    for sessions in &options.sessions {
        for payload in &options.payloads {
            let of = |subject| {
                samples
                    .get(&(*sessions, *payload, subject))
                    .into_iter()
                    .flatten()
            };
            let pair = |other, f: fn(&Sample, &Sample) -> f64| {
                median(of("relay").zip(of(other)).map(|(r, o)| f(r, o)))
            };
            ratios.push(Ratio {
                payload: *payload,
                sessions: *sessions,
                pps_to_reflector: pair("reflector", |r, o| r.pps / o.pps),
                cpu_coturn_to_relay: pair("coturn", |r, o| o.cpu_ns / r.cpu_ns),
                pps_to_coturn: pair("coturn", |r, o| r.pps / o.pps),
            });
        }
    }
    Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        flows,
        rows,
        ratios,
    }
}

fn spread(sessions: &u32) -> Result<Spread> {
    let flows = flows::Flows::new(*sessions)?;
    Ok(Spread {
        sessions: *sessions,
        clients: flows.clients(),
        channels: flows.channels(),
    })
}

/// The pair of namespaces, with the receiver attached.
pub struct Lab {
    pub outer: NetNs,
    pub inner: NetNs,
    /// Name of the relay side's card.
    pub card: String,
    sink: aya::Ebpf,
}

/// Name of the generator's card.
pub const OUTER_CARD: &str = "gen0";

impl Lab {
    pub fn new() -> Result<Self> {
        Self::with_queues(1)
    }

    /// The generator's frames come by the first queue of the relay's card, what sockets send by the last.
    pub fn with_queues(queues: usize) -> Result<Self> {
        let (outer, inner) = (NetNs::new("gen")?, NetNs::new("dut")?);
        // The NAPI thread is found by the card's name, which therefore must be unlike any other's.
        let card = format!("dut{}", std::process::id() % 1_000_000);
        let count = queues.to_string();
        let queued = ["numtxqueues", &count, "numrxqueues", &count];
        let mut add = vec!["link", "add", OUTER_CARD];
        add.extend(queued);
        add.extend(["type", "veth", "peer", "name", &card]);
        add.extend(queued);
        add.extend(["netns", inner.name()]);
        outer.ip(&add)?;
        for (namespace, card, address) in
            [(&outer, OUTER_CARD, OUTER), (&inner, card.as_str(), RELAY)]
        {
            namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", card])?;
            namespace.ip(&["link", "set", card, "up"])?;
            namespace.run("ethtool", &["-K", card, "tx", "off", "gro", "on"])?;
        }
        let sink = attach(&outer, OUTER_CARD, "sink")?;
        inner.run(
            "sh",
            &["-c", &format!("echo 1 > /sys/class/net/{card}/threaded")],
        )?;
        if queues > 1 {
            // Of its queues a socket takes the one its CPU is said to use; live frames go by the number of their CPU, 0.
            let last = format!(
                "/sys/class/net/{OUTER_CARD}/queues/tx-{}/xps_cpus",
                queues - 1
            );
            let cpus = (1u64 << std::thread::available_parallelism()?.get()) - 1;
            outer.run("sh", &["-c", &format!("echo {cpus:x} > {last}")])?;
        }
        subject::pin_napi(&card, 1)?;
        namespace_neighbours(&outer, &inner, &card)?;
        Ok(Self {
            outer,
            inner,
            card,
            sink,
        })
    }

    fn measure(&self, subject: &Subject, payload: usize, options: &Options) -> Result<Sample> {
        let pace = (subject.name() == "coturn").then_some(options.coturn_pace);
        let mut generator =
            Generator::new(&self.outer, OUTER_CARD, subject.packet(payload)?, pace)?;
        generator.run(Duration::from_millis(200))?;
        let cpu = Cpu::of(&self.card, subject.pid())?;
        let (sent, received, start) = (generator.sent()?, self.received()?, Instant::now());
        generator.run(Duration::from_secs_f64(options.seconds))?;
        let seconds = start.elapsed().as_secs_f64();
        let (sent, received) = (generator.sent()? - sent, self.received()? - received);
        let busy = cpu.since()?;
        ensure!(
            received > 0,
            "{} relayed nothing of {sent} packets",
            subject.name()
        );
        Ok(Sample {
            offered: sent as f64 / seconds,
            pps: received as f64 / seconds,
            cpu_ns: busy.as_nanos() as f64 / received as f64,
        })
    }

    /// Packets that arrived at the receiver so far.
    pub fn received(&self) -> Result<u64> {
        generator::per_cpu_sum(&self.sink, "RECEIVED")
    }
}

/// The hardware address of a card.
pub fn mac(namespace: &NetNs, card: &str) -> Result<[u8; 6]> {
    let text = namespace.run("cat", &[&format!("/sys/class/net/{card}/address")])?;
    let bytes: Vec<u8> = text
        .trim()
        .split(':')
        .map(|b| u8::from_str_radix(b, 16))
        .collect::<Result<_, _>>()?;
    bytes.try_into().ok().context("a MAC address")
}

/// Resolves both ends once and for good, so that no round begins with ARP.
fn namespace_neighbours(outer: &NetNs, inner: &NetNs, card: &str) -> Result<()> {
    let mac = |namespace: &NetNs, card: &str| {
        namespace.run("cat", &[&format!("/sys/class/net/{card}/address")])
    };
    let (outer_mac, inner_mac) = (mac(outer, OUTER_CARD)?, mac(inner, card)?);
    outer.ip(&[
        "neigh",
        "replace",
        RELAY,
        "lladdr",
        inner_mac.trim(),
        "dev",
        OUTER_CARD,
        "nud",
        "permanent",
    ])?;
    for peer in (0..flows::PEERS).map(flows::peer) {
        if peer != OUTER {
            outer.ip(&["addr", "add", &format!("{peer}/24"), "dev", OUTER_CARD])?;
        }
        let mut entry = vec!["neigh", "replace", &peer, "lladdr", outer_mac.trim()];
        entry.extend(["dev", card, "nud", "permanent"]);
        inner.ip(&entry)?;
    }
    Ok(())
}

pub fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
