//! What relaying costs, in every setting, of every server, in turn; medians of the rounds.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::super::pair::Pair;
use super::super::veth::median;
use super::super::veth::subject::pin_napi;
use super::Options;
use super::server::{SUBJECTS, Server, TRANSPORTS};
use super::throughput::{Load, Sample, Setting};

/// All settings.
#[derive(Debug, Serialize)]
pub struct Costs {
    pub rows: Vec<Row>,
    pub ratios: Vec<Ratio>,
}

/// One server in one setting: medians over the rounds.
#[derive(Debug, Serialize)]
pub struct Row {
    pub subject: &'static str,
    #[serde(flatten)]
    pub setting: Setting,
    pub pps: f64,
    pub lost: u64,
    pub cpu_us: f64,
    pub system_us: f64,
    pub softirq_us: f64,
}

/// This relay against coturn, medians of the ratios of each round.
#[derive(Debug, Serialize)]
pub struct Ratio {
    #[serde(flatten)]
    pub setting: Setting,
    pub pps_to_coturn: f64,
    /// CPU per packet of the process, coturn over relay.
    pub cpu_coturn_to_relay: f64,
}

/// A frame of a video of 4 Mbit/s.
const BURST: usize = 16;

pub const DIRECTIONS: [&str; 2] = ["to_peer", "to_client"];

pub fn run(options: &Options) -> Result<Costs> {
    let pair = Pair::new()?;
    stand_in_for_cards(&pair)?;
    let (mut rows, mut ratios) = (Vec::new(), Vec::new());
    for setting in settings(options) {
        let samples = measure(&pair, &setting, options)?;
        rows.extend(
            samples
                .iter()
                .map(|(subject, of)| row(subject, setting, of)),
        );
        ratios.extend(ratio(setting, &samples));
    }
    Ok(Costs { rows, ratios })
}

/// A veth hands a frame to its other end's stack at once, on the sender's time. Here the server's end receives as a card
/// does, in a NAPI thread with GRO, on CPU 1; the other end's stack has CPU 0.
fn stand_in_for_cards(pair: &Pair) -> Result<()> {
    let (outer, inner) = (pair.outer_card.as_str(), pair.inner_card.as_str());
    // With it, what comes is never taken for a card's.
    pair.outer.run("ethtool", &["-K", outer, "tso", "off"])?;
    let steer = format!("echo 1 > /sys/class/net/{outer}/queues/rx-0/rps_cpus");
    pair.outer.run("sh", &["-c", &steer])?;
    pair.inner.run("ethtool", &["-K", inner, "gro", "on"])?;
    let threaded = format!("echo 1 > /sys/class/net/{inner}/threaded");
    pair.inner.run("sh", &["-c", &threaded])?;
    pin_napi(inner, 1)
}

fn settings(options: &Options) -> Vec<Setting> {
    let wanted = |all: [&'static str; 2], names: &[String]| {
        let named = move |one: &&'static str| names.iter().any(|name| name == one);
        all.into_iter().filter(named).collect::<Vec<_>>()
    };
    let mut settings = Vec::new();
    for transport in wanted(TRANSPORTS, &options.transports) {
        for direction in wanted(DIRECTIONS, &options.directions) {
            for connections in options.connections.iter().copied() {
                let paced = Some(options.rate);
                for (burst, rate) in [(BURST, paced), (1, paced), (BURST, None)] {
                    settings.push(Setting {
                        transport,
                        direction,
                        connections,
                        payload: options.payload,
                        burst,
                        rate,
                    });
                }
            }
        }
    }
    settings
}

type Samples = BTreeMap<&'static str, Vec<Sample>>;

fn measure(pair: &Pair, setting: &Setting, options: &Options) -> Result<Samples> {
    let mut samples = Samples::new();
    let wanted = |subject: &&str| options.subjects.iter().any(|name| name == subject);
    for round in 0..options.rounds {
        for subject in SUBJECTS.into_iter().filter(wanted) {
            let server = Server::start(subject, &pair.inner, "")?;
            let time = Duration::from_secs_f64(options.seconds);
            let sample = Load::new(&server, pair, setting)
                .and_then(|load| load.measure(&server, pair, setting, time))
                .with_context(|| format!("{subject}: {setting:?}"))?;
            eprintln!(
                "round {round}: {subject:<6} {:<3} {:<9} {:>3} connections, bursts of {:>2}, {:>5}: {:>7.0} pps, {:>5.2} us CPU ({:.2} in the kernel), {:.2} us softirq, {} lost",
                setting.transport,
                setting.direction,
                setting.connections,
                setting.burst,
                setting
                    .rate
                    .map_or("full".to_owned(), |rate| rate.to_string()),
                sample.pps,
                sample.cpu_us,
                sample.system_us,
                sample.softirq_us,
                sample.lost,
            );
            samples.entry(subject).or_default().push(sample);
        }
    }
    Ok(samples)
}

fn row(subject: &'static str, setting: Setting, of: &[Sample]) -> Row {
    let take = |figure: fn(&Sample) -> f64| median(of.iter().map(figure));
    Row {
        subject,
        setting,
        pps: take(|s| s.pps),
        lost: of.iter().map(|sample| sample.lost).sum(),
        cpu_us: take(|s| s.cpu_us),
        system_us: take(|s| s.system_us),
        softirq_us: take(|s| s.softirq_us),
    }
}

/// `None`: only one of them took part.
fn ratio(setting: Setting, samples: &Samples) -> Option<Ratio> {
    let (relay, coturn) = (samples.get("relay")?, samples.get("coturn")?);
    let pairs = |figure: fn(&Sample, &Sample) -> f64| {
        median(relay.iter().zip(coturn).map(|(r, c)| figure(r, c)))
    };
    Some(Ratio {
        setting,
        pps_to_coturn: pairs(|r, c| r.pps / c.pps),
        cpu_coturn_to_relay: pairs(|r, c| c.cpu_us / r.cpu_us),
    })
}
