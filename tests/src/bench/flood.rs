//! `bench flood`: what established sessions, known clients and the host lose while somebody floods the relay's ports.
//!
//! One veth pair, native XDP. The flood comes from the live-frames generator of `bench veth` on CPU 0; the relay's
//! card has CPU 1. The streams that are checked come from ordinary sockets behind the same pair. Its rings have 256
//! frames, a card's thousands: a flood of 3 million packets a second fills one while the CPU is elsewhere for 90 µs. So the
//! streams have a queue of their own, served before the flood's, and what is lost is the relay's doing; with one queue
//! for all, what did not even reach the relay's program is told apart by its counters.

mod junk;
mod known;
mod streams;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::machine::{cpu_model, kernel_release};
use super::relay::{self, Wanted};
use super::veth::generator::Generator;
use super::veth::subject::hurry_napi;
use super::veth::{Lab, OUTER, OUTER_CARD};
use crate::home::Home;
use crate::privileged;
use crate::relay::Relay;
use junk::Junk;
use known::{Known, Served};
use streams::{Sent, Streams};

/// What to measure.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
    /// Sessions in the kernel; a fifth as many run in userspace.
    #[arg(long, default_value_t = 100)]
    pub sessions: u16,
    /// Packets per second and session, each way.
    #[arg(long, default_value_t = 50)]
    pub rate: u32,
    /// Seconds of each flood.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// Let the streams that are checked share the flood's queue.
    #[arg(long)]
    pub one_queue: bool,
    /// Which floods.
    #[arg(long, value_delimiter = ',', default_values_t = junk::ALL.map(|j| j.name.to_owned()))]
    pub floods: Vec<String>,
    /// More arguments of `relay serve`, separated by spaces.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub relay: String,
}

/// The printed object.
#[derive(Debug, Serialize)]
pub struct Report {
    pub kernel: String,
    pub cpu: String,
    /// Of the relay's card: with 2, the flood has one for itself.
    pub queues: usize,
    pub sessions: u16,
    /// Packets of junk per second that reached the relay's program under all the generator gives: the most of all kinds.
    pub machine_pps: f64,
    /// Packets of established sessions lost over all floods at half that rate.
    pub lost_at_half: u64,
    /// Packets of sessions in userspace, of known clients.
    pub userspace_lost_at_half: u64,
    /// Requests of known clients without success, over all floods at half that rate but `client_address`.
    pub refused_at_half: u64,
    /// New allocations without success from an address that somebody forges: who knows a client's address can keep it
    /// from more allocations, though not from those it has.
    pub refused_of_forged_address_at_half: u64,
    pub rows: Vec<Row>,
}

/// One flood at one rate.
#[derive(Debug, Serialize)]
pub struct Row {
    pub flood: &'static str,
    /// `none`, `half` of the machine's rate, or `full`: all the generator gives.
    pub rate: &'static str,
    pub offered_pps: f64,
    /// Of the flood and of everything else.
    pub reached_pps: f64,
    pub kernel_sessions: Loss,
    /// Of these, how many the relay's program never saw: the ring of the link was full.
    pub lost_on_the_wire: u64,
    pub userspace_sessions: Loss,
    /// UDP to a port of the host that is not the relay's.
    pub host: Loss,
    pub refresh: Served,
    pub allocate: Served,
    /// Binding requests from an address that never authenticated.
    pub newcomer: Served,
    /// Verdicts of the relay's program.
    pub verdicts: BTreeMap<String, u64>,
}

/// Packets of one kind.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Loss {
    pub sent: u64,
    pub lost: u64,
}

pub fn run(options: &Options) -> Result<Report> {
    privileged::require_root("namespaces and BPF")?;
    crate::residue::sweep();
    let queues = if options.one_queue { 1 } else { 2 };
    let lab = Lab::with_queues(queues)?;
    hurry_napi(&lab.card)?;
    // Or the host would refuse spoofed sources it has no route to, before they reach a socket.
    lab.inner.ip(&["route", "add", "default", "via", OUTER])?;
    lab.outer.ip(&[
        "addr",
        "add",
        &format!("{}/24", known::NEWCOMER),
        "dev",
        OUTER_CARD,
    ])?;
    let relay = start_relay(&lab, options)?;
    let mut bench = Bench {
        streams: Streams::open(&lab, options.sessions)?,
        known: Known::open(&lab)?,
        lab: &lab,
        relay: &relay,
        options,
    };
    let sessions = u64::from(options.sessions);
    crate::eventually::eventually("all sessions run in the kernel", || {
        relay.status().is_ok_and(|s| s.kernel_sessions >= sessions)
    })?;

    let mut rows = vec![bench.row(None, "none", None)?];
    let floods: Vec<Junk> = junk::ALL
        .into_iter()
        .filter(|junk| options.floods.iter().any(|name| name == junk.name))
        .collect();
    for junk in &floods {
        rows.push(bench.row(Some(*junk), "full", None)?);
    }
    let machine_pps = rows.iter().map(|row| row.reached_pps).fold(0.0, f64::max);
    for junk in &floods {
        rows.push(bench.row(Some(*junk), "half", Some(machine_pps / 2.0))?);
    }
    let half = |of: fn(&Row) -> u64| rows.iter().filter(|r| r.rate == "half").map(of).sum();
    Ok(Report {
        kernel: kernel_release(),
        cpu: cpu_model(),
        queues,
        sessions: options.sessions,
        machine_pps,
        lost_at_half: half(|row| row.kernel_sessions.lost),
        userspace_lost_at_half: half(|row| row.userspace_sessions.lost),
        refused_at_half: half(|row| match row.flood {
            junk::FORGED => 0,
            _ => row.refresh.failed + row.allocate.failed,
        }),
        refused_of_forged_address_at_half: half(|row| match row.flood {
            junk::FORGED => row.allocate.failed,
            _ => 0,
        }),
        rows,
    })
}

fn start_relay(lab: &Lab, options: &Options) -> Result<Relay> {
    let arguments: Vec<&str> = options.relay.split_whitespace().collect();
    let wanted = Wanted {
        arguments: &arguments,
        ..Wanted::default()
    };
    relay::start(Arc::new(Home::new()?), &lab.inner, &lab.card, &wanted)
}

struct Bench<'l> {
    streams: Streams,
    known: Known,
    lab: &'l Lab,
    relay: &'l Relay,
    options: &'l Options,
}

impl Bench<'_> {
    fn row(&mut self, junk: Option<Junk>, rate: &'static str, pace: Option<f64>) -> Result<Row> {
        let mut generator = match junk {
            Some(junk) => Some(Generator::new(
                &self.lab.outer,
                OUTER_CARD,
                junk.template(self.lab)?,
                pace.map(|pps| pps as u64),
            )?),
            None => None,
        };
        let time = Duration::from_secs_f64(self.options.seconds);
        let before = verdicts(self.relay)?;
        let offered = generator.as_ref().map_or(Ok(0), Generator::sent)?;
        let (over, start) = (AtomicBool::new(false), Instant::now());
        let (streams, known) = (&self.streams, &mut self.known);
        let rate_of_streams = self.options.rate;
        let (sent, served) = std::thread::scope(|scope| {
            let sent = scope.spawn(|| streams.send(rate_of_streams, &over));
            let served = scope.spawn(|| known.ask(&over));
            // The streams outlast the flood on both sides.
            let flood = match &mut generator {
                Some(generator) => generator.run(time).map(drop),
                None => {
                    std::thread::sleep(time);
                    Ok(())
                }
            };
            over.store(true, Ordering::Relaxed);
            let sent = sent.join().ok().context("the streams panicked")?;
            let served = served.join().ok().context("the clients panicked")?;
            flood?;
            anyhow::Ok((sent?, served?))
        })?;
        let seconds = start.elapsed().as_secs_f64();
        // What is under way arrives.
        std::thread::sleep(Duration::from_millis(300));
        let offered = generator.as_ref().map_or(Ok(0), Generator::sent)? - offered;
        let verdicts = difference(&before, verdicts(self.relay)?);
        let row = self.judge(junk, rate, (offered, seconds), (sent, served), verdicts)?;
        eprintln!(
            "{:<16} {rate:<5} {:>9.0} of {:>9.0} pps: lost {}/{} (wire {}), userspace {}/{}, host {}/{}, refresh {} p99 {:.0} ms, allocate {} p99 {:.0} ms, newcomer {}",
            row.flood,
            row.reached_pps,
            row.offered_pps,
            row.kernel_sessions.lost,
            row.kernel_sessions.sent,
            row.lost_on_the_wire,
            row.userspace_sessions.lost,
            row.userspace_sessions.sent,
            row.host.lost,
            row.host.sent,
            row.refresh,
            row.refresh.p99_ms,
            row.allocate,
            row.allocate.p99_ms,
            row.newcomer,
        );
        Ok(row)
    }

    fn judge(
        &mut self,
        junk: Option<Junk>,
        rate: &'static str,
        (offered, seconds): (u64, f64),
        (sent, served): (Sent, [Served; 3]),
        verdicts: BTreeMap<String, u64>,
    ) -> Result<Row> {
        let [kernel_sessions, userspace_sessions, host] = self.streams.losses(&sent)?;
        let relayed = verdicts.get("transmitted").copied().unwrap_or(0);
        let [refresh, allocate, newcomer] = served;
        Ok(Row {
            flood: junk.map_or("none", |junk| junk.name),
            rate,
            offered_pps: offered as f64 / seconds,
            reached_pps: verdicts.values().sum::<u64>() as f64 / seconds,
            lost_on_the_wire: kernel_sessions.sent.saturating_sub(relayed),
            kernel_sessions,
            userspace_sessions,
            host,
            refresh,
            allocate,
            newcomer,
            verdicts,
        })
    }
}

/// What the relay's program decided so far.
fn verdicts(relay: &Relay) -> Result<BTreeMap<String, u64>> {
    let samples: serde_json::Value = serde_json::from_str(&relay.admin("/v1/counters")?)?;
    let mut found = BTreeMap::new();
    for sample in samples.as_array().context("a list of samples")? {
        if sample["name"] == "kernel_packets" {
            let labels = sample["labels"].as_object().context("labels")?;
            let verdict = labels.values().next().and_then(|v| v.as_str());
            let count = sample["value"].as_u64().context("a count")?;
            found.insert(verdict.context("a verdict")?.to_owned(), count);
        }
    }
    Ok(found)
}

fn difference(
    before: &BTreeMap<String, u64>,
    after: BTreeMap<String, u64>,
) -> BTreeMap<String, u64> {
    let since = |(name, count): (String, u64)| {
        let moved = count - before.get(&name).copied().unwrap_or(0);
        (moved > 0).then_some((name, moved))
    };
    after.into_iter().filter_map(since).collect()
}
