//! `bench stream`: TURN over TCP and TLS of this relay and of Debian's coturn, in turn, in one run.
//!
//! One veth pair; clients and their peer have CPU 0 and so has the NAPI thread of their card, the server has CPU 1 with
//! that of its own, which is told apart as softirq.

mod server;
mod throughput;

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use super::pair::Pair;
use super::veth::median;
use super::veth::subject::pin_napi;
use crate::privileged;
use server::{SUBJECTS, Server, TRANSPORTS};
use throughput::{Load, Sample, Setting};

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Application bytes a packet.
    #[arg(long, default_value_t = 1200)]
    pub payload: usize,
    #[arg(long, value_delimiter = ',', default_values_t = [1, 100])]
    pub connections: Vec<usize>,
    #[arg(long, value_delimiter = ',', default_values_t = TRANSPORTS.map(String::from))]
    pub transports: Vec<String>,
    #[arg(long, value_delimiter = ',', default_values_t = DIRECTIONS.map(String::from))]
    pub directions: Vec<String>,
    #[arg(long, value_delimiter = ',', default_values_t = SUBJECTS.map(String::from))]
    pub subjects: Vec<String>,
    /// Rounds, each subject once a round; ratios are of the same round, medians are printed.
    #[arg(long, default_value_t = 3)]
    pub rounds: usize,
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Packets per second offered where both are to do the same work.
    #[arg(long, default_value_t = 30_000)]
    pub rate: u64,
}

/// The printed object.
#[derive(Debug, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
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

const DIRECTIONS: [&str; 2] = ["to_peer", "to_client"];

pub fn run(options: &Options) -> Result<Report> {
    privileged::require_root("namespaces")?;
    crate::netns::remove_stale();
    let pair = Pair::new()?;
    for (namespace, card, cpu) in [
        (&pair.outer, &pair.outer_card, 0),
        (&pair.inner, &pair.inner_card, 1),
    ] {
        namespace.run("ethtool", &["-K", card, "gro", "on"])?;
        let threaded = format!("echo 1 > /sys/class/net/{card}/threaded");
        namespace.run("sh", &["-c", &threaded])?;
        pin_napi(card, cpu)?;
    }
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
    Ok(Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        rows,
        ratios,
    })
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
                for rate in [Some(options.rate), None] {
                    settings.push(Setting {
                        transport,
                        direction,
                        connections,
                        payload: options.payload,
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
                "round {round}: {subject:<6} {:<3} {:<9} {:>3} connections {:>7}: {:>7.0} pps, {:>5.2} us CPU ({:.2} in the kernel), {:.2} us softirq, {} lost",
                setting.transport,
                setting.direction,
                setting.connections,
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
