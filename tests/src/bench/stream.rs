//! `bench stream`: TURN over TCP and TLS of this relay and of Debian's coturn, in turn, in one run.
//!
//! Cost: one veth pair; clients and their peer have CPU 0, the server has CPU 1 with the NAPI thread of its card, which is
//! told apart as softirq. What else it measures has a file each.

pub mod flood;
mod idle;
mod rounds;
mod server;
pub mod stalled;
mod throughput;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use crate::privileged;
use rounds::{Costs, DIRECTIONS};
use server::{SUBJECTS, TRANSPORTS};

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// `cost` of relaying, a `stalled` link, `idle` connections, a `flood` of bad ones.
    #[arg(long, value_delimiter = ',', default_values_t = PARTS.map(String::from))]
    pub parts: Vec<String>,
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
    /// Congestion controls of the server's TCP behind the stalled link; a namespace may choose of those the host allows.
    #[arg(long, value_delimiter = ',', default_values_t = ["reno", "bbr"].map(String::from))]
    pub congestion: Vec<String>,
    /// Idle connections.
    #[arg(long, default_value_t = 10_000)]
    pub idle: usize,
}

/// The printed object; a part that was not asked for is not there.
#[derive(Debug, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
    #[serde(flatten)]
    pub costs: Option<Costs>,
    pub stalled: Option<Vec<stalled::Row>>,
    pub idle: Option<Vec<idle::Row>>,
    pub flood: Option<Vec<flood::Row>>,
}

const PARTS: [&str; 4] = ["cost", "stalled", "idle", "flood"];

pub fn run(options: &Options) -> Result<Report> {
    privileged::require_root("namespaces")?;
    crate::residue::sweep();
    for part in &options.parts {
        ensure!(
            PARTS.contains(&part.as_str()),
            "no part {part:?}: there are {}",
            PARTS.join(", ")
        );
    }
    let wanted = |name| options.parts.iter().any(|part| part == name);
    Ok(Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        costs: wanted("cost").then(|| rounds::run(options)).transpose()?,
        stalled: wanted("stalled")
            .then(|| stalled::run(&options.congestion))
            .transpose()?,
        idle: wanted("idle")
            .then(|| idle::run(options.idle))
            .transpose()?,
        flood: wanted("flood").then(|| flood::run(&SUBJECTS)).transpose()?,
    })
}
