//! `bench switch`: `relay connect` before a real relay, behind a link that goes bad in mid-flow. How long until it is on the
//! other leg, what of a stream is missing, and whether the return costs anything.
//!
//! Each run has namespaces, a relay, a connector and a seed of its own; several run side by side.

mod case;
mod figures;
mod ride;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use crate::rough::{Pace, ROUND_TRIP};
use case::Case;
use figures::Row;
use ride::Ride;

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Runs of each case.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub runs: u64,
    /// Runs side by side.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    pub at_once: u64,
    /// What happens to the link.
    #[arg(long, value_delimiter = ',', default_values_t = Case::ALL)]
    pub cases: Vec<Case>,
    /// Passed on to `relay connect`, e.g. `doubt=1s`.
    #[arg(long, value_name = "NAME=VALUE")]
    pub timing: Vec<String>,
}

/// The printed object.
#[derive(Debug, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
    pub runs: u64,
    pub at_once: u64,
    pub round_trip_ms: u64,
    /// Of the stream, in each direction.
    pub period_ms: u64,
    pub bytes: usize,
    /// Those that are not the defaults.
    pub timing: Vec<String>,
    pub rows: Vec<Row>,
}

/// Of a video of 0.8 Mbit/s.
const PACE: Pace = Pace {
    period: Duration::from_millis(10),
    bytes: 1000,
};

pub fn run(options: &Options) -> Result<Report> {
    crate::privileged::require_root("network namespaces")?;
    crate::residue::sweep();
    let rides = ride_all(options)?;
    let rows = options.cases.iter().map(|case| {
        let of = rides.iter().filter(|(of, _)| of == case);
        Row::new(*case, of.map(|(_, ride)| ride), PACE.period)
    });
    let rows: Vec<Row> = rows.collect();
    eprint!("{}", figures::table(&rows));
    Ok(Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        runs: options.runs,
        at_once: options.at_once,
        round_trip_ms: ROUND_TRIP.as_millis() as u64,
        period_ms: PACE.period.as_millis() as u64,
        bytes: PACE.bytes,
        timing: options.timing.clone(),
        rows,
    })
}

/// Round by round, so that all cases meet the same machine.
fn ride_all(options: &Options) -> Result<Vec<(Case, Ride)>> {
    let rounds = (0..options.runs).flat_map(|seed| options.cases.iter().map(move |c| (*c, seed)));
    let waiting: Mutex<VecDeque<(Case, u64)>> = Mutex::new(rounds.collect());
    let all = lock(&waiting).len();
    let done = Mutex::new(Vec::new());
    let start = Instant::now();
    let work = || -> Result<()> {
        loop {
            let Some((case, seed)) = lock(&waiting).pop_front() else {
                return Ok(());
            };
            let ride = ride::ride(case, seed, PACE, &options.timing);
            // The others need not go on for a result that is not to be.
            let ride = ride.inspect_err(|_| lock(&waiting).clear());
            let ride = ride.with_context(|| format!("{case}, run {seed}"))?;
            let mut done = lock(&done);
            let (number, seconds) = (done.len() + 1, start.elapsed().as_secs());
            eprintln!("{number:>3} of {all}, {seconds:>3} s: {case} {seed}: {ride}");
            done.push((case, ride));
        }
    };
    let ended: Vec<Result<()>> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..options.at_once).map(|_| scope.spawn(work)).collect();
        let join = |worker: std::thread::ScopedJoinHandle<'_, Result<()>>| {
            let ended = worker.join();
            ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        };
        workers.into_iter().map(join).collect()
    });
    ended.into_iter().collect::<Result<()>>()?;
    Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
