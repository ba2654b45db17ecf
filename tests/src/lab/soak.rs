//! `lab soak`: sessions that stay and sessions that come and go, while the relay is killed every few seconds and the
//! network under it changes. Three acts: only kills, where nothing that stays may be lost; kills and changes, where all
//! must go on; and calm, where nothing may have leaked.

mod churn;
mod footprint;
mod links;
mod steady;
mod tag;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use crate::eventually::within;
use crate::home::Home;
use crate::lab::interrupt::Interrupt;
use crate::privileged;
use crate::relay::Relay;
use crate::topology::{CLIENT_CARD, EDGE_V4, LAB_NETWORKS, OUTER_CARD, SERVER_CARD, Topology};
use churn::{Churn, Churned, Live};
use footprint::Footprint;
use steady::{Steady, Tally};

/// Users of the sessions that come and go; those that stay are of one of their own.
const USERS: [&str; 3] = ["anna", "bert", "carl"];
const PASSWORD: &str = "password";
/// Callers that come and go at a time.
const CALLERS: usize = 4;
/// However short the soak: kills while nothing else happens, and changes.
const FEWEST: [u32; 2] = [4, 4];

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// How long in all
    #[arg(long, default_value_t = 10.0)]
    pub minutes: f64,
    /// Between two kills
    #[arg(long, default_value_t = 3.0)]
    pub kill_every: f64,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub seconds: f64,
    pub kills: u32,
    pub changes: u32,
    /// Sessions that stayed: while there were only kills, and while the network changed as well.
    pub killed: Tally,
    pub changed: Tally,
    /// Frames the links dropped while there were only kills: veth does when its CPU starves.
    pub dropped_by_links: u64,
    /// Longest time until all of them went on after a change.
    pub slowest_recovery_ms: u128,
    pub churn: Churned,
    /// Allocations whose client never heard an answer, because of a kill.
    pub orphans: usize,
    /// The relay before any session, and after all of them.
    pub before: Footprint,
    pub after: Footprint,
}

struct Acts {
    /// What the sessions that stay lost in the first act, and in the second.
    killed: Tally,
    changed: Tally,
    dropped_by_links: u64,
}

/// Since the soak began, for what it says on the way.
fn elapsed() -> Duration {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

struct Soak {
    topology: Arc<Topology>,
    home: Arc<Home>,
    relay: Option<Relay>,
    interrupt: Interrupt,
    kills: u32,
    changes: u32,
    slowest: Duration,
}

/// Fails at what must never be: a stranger's packet, a loss by kills alone, a session that does not go on, a leak.
pub fn run(options: &Options) -> Result<Report> {
    privileged::require_root("namespaces and BPF")?;
    let started = Instant::now();
    let all = Duration::from_secs_f64(options.minutes * 60.0);
    let mut soak = Soak::new()?;
    let before = Footprint::of(soak.running()?)?;
    let steady = Steady::new(&soak.topology, soak.running()?)?;
    soak.wait_for_kernel(steady.len())?;
    let (topology, done) = (Arc::clone(&soak.topology), AtomicBool::new(false));
    let live = Live::default();
    let (acts, churn) = std::thread::scope(|scope| {
        let churn: Vec<_> = (0..CALLERS)
            .map(|number| {
                let churn = Churn::new(&topology, &live, number, USERS[number % USERS.len()]);
                let done = &done;
                scope.spawn(move || churn?.run(done))
            })
            .collect();
        let streams = scope.spawn(|| steady.run(&done));
        let acts = soak.acts(&steady, all, options.kill_every);
        done.store(true, Relaxed);
        let steady = streams
            .join()
            .ok()
            .context("the steady sessions panicked")?;
        let mut churned = Churned::default();
        for one in churn {
            churned.add(one.join().ok().context("a caller panicked")??);
        }
        steady?;
        anyhow::Ok((acts?, churned))
    })?;
    let Acts {
        killed,
        changed,
        dropped_by_links,
    } = acts;
    steady.end(soak.running()?)?;
    let orphans = soak.end_orphans(&churn)?;
    let after = soak.after(&before)?;
    let report = Report {
        seconds: started.elapsed().as_secs_f64(),
        kills: soak.kills,
        changes: soak.changes,
        killed,
        changed,
        dropped_by_links,
        slowest_recovery_ms: soak.slowest.as_millis(),
        churn,
        orphans,
        before,
        after,
    };
    soak.finish()?;
    report.judge()?;
    Ok(report)
}

impl Report {
    fn judge(&self) -> Result<()> {
        let of_callers = self.churn.strangers - self.churn.late;
        let strangers = self.killed.strangers + self.changed.strangers + of_callers;
        ensure!(
            strangers == 0,
            "{strangers} packets of strangers: {self:#?}"
        );
        let lost = self.killed.lost > self.dropped_by_links;
        ensure!(!lost, "lost by kills alone: {self:#?}");
        let gone = self.churn.gone;
        ensure!(gone == 0, "{gone} allocations were forgotten: {self:#?}");
        ensure!(self.churn.whole > 0, "no session came and went: {self:#?}");
        Ok(())
    }
}

impl Soak {
    fn new() -> Result<Self> {
        let topology = Arc::new(Topology::new()?);
        let home = Arc::new(Home::surviving()?);
        let relay = Some(start(&topology, Arc::clone(&home))?);
        Ok(Self {
            topology,
            home,
            relay,
            interrupt: Interrupt::catch()?,
            kills: 0,
            changes: 0,
            slowest: Duration::ZERO,
        })
    }

    fn running(&self) -> Result<&Relay> {
        self.relay.as_ref().context("no relay runs")
    }

    fn acts(&mut self, steady: &Steady, all: Duration, every: f64) -> Result<Acts> {
        let every = Duration::from_secs_f64(every);
        let start = Instant::now();
        let goes_on = |soak: &Self, end: u32, more: bool| {
            (more || start.elapsed() < all * end / 10)
                && !soak.interrupt.asked()
                && !steady.failed()
        };
        let dropped_before = links::dropped(&self.topology)?;
        while goes_on(self, 4, self.kills < FEWEST[0]) {
            std::thread::sleep(every);
            self.kill()?;
        }
        let killed = steady.settle()?;
        let dropped_by_links = links::dropped(&self.topology)? - dropped_before;
        while goes_on(self, 8, self.changes < FEWEST[1]) {
            std::thread::sleep(every);
            if self.kills.is_multiple_of(2) {
                self.kill()?;
            }
            self.change(steady)?;
            self.kill()?;
        }
        let changed = steady.settle()?.since(&killed);
        while goes_on(self, 10, false) {
            std::thread::sleep(Duration::from_millis(100));
        }
        self.wait_for_kernel(steady.len())?;
        Ok(Acts {
            killed,
            changed,
            dropped_by_links,
        })
    }

    /// No relay for a moment, then the next one.
    fn kill(&mut self) -> Result<()> {
        let relay = self.relay.take().context("no relay runs")?;
        let killed = elapsed();
        relay.kill()?;
        std::thread::sleep(Duration::from_millis(u64::from(self.kills) * 97 % 500));
        self.relay = Some(start(&self.topology, Arc::clone(&self.home))?);
        self.kills += 1;
        let (killed, now) = (killed.as_secs_f64(), elapsed().as_secs_f64());
        eprintln!("{now:.3}: killed at {killed:.3}, ready again");
        Ok(())
    }

    fn change(&mut self, steady: &Steady) -> Result<()> {
        let (edge, server) = (&self.topology.edge, &self.topology.server);
        let spare = ["addr", "add", "10.71.1.77/24", "dev", CLIENT_CARD];
        match self.changes % 4 {
            0 => {
                let mac = format!(
                    "02:00:00:00:{:02x}:{:02x}",
                    self.changes >> 8,
                    self.changes & 0xff
                );
                server.ip(&["link", "set", OUTER_CARD, "address", &mac])?;
            }
            1 => edge.ip(&spare)?,
            2 => edge.ip(&["addr", "del", "10.71.1.77/24", "dev", CLIENT_CARD])?,
            _ => {
                edge.ip(&["link", "set", SERVER_CARD, "down"])?;
                edge.ip(&["link", "set", SERVER_CARD, "up"])?;
                // Gone with the link: global IPv6 addresses.
                let address = format!("{}/64", crate::topology::EDGE_SERVER_V6);
                edge.ip(&["addr", "add", &address, "dev", SERVER_CARD, "nodad"])?;
            }
        }
        eprintln!(
            "{:.3}: change {}",
            elapsed().as_secs_f64(),
            self.changes % 4
        );
        self.changes += 1;
        let changed = Instant::now();
        steady
            .wait_until_all_go_on(Duration::from_secs(20))
            .with_context(|| {
                let relay = self.relay.as_ref();
                let sessions = relay.map(|relay| relay.sessions());
                format!("after change {}: {sessions:#?}", (self.changes - 1) % 4)
            })?;
        self.slowest = self.slowest.max(changed.elapsed());
        Ok(())
    }

    fn wait_for_kernel(&self, sessions: usize) -> Result<()> {
        let relay = self.running()?;
        within(
            Duration::from_secs(20),
            "what stays runs in the kernel",
            || {
                let all = relay.sessions().ok()?;
                let in_kernel = all.iter().filter(|s| s.runs_in == "kernel");
                (in_kernel.count() >= sessions).then_some(())
            },
        )
        .with_context(|| format!("{:#?}", relay.sessions()))
    }

    /// Ends what nobody was told of. Anything else that is left came back from its end.
    fn end_orphans(&self, churned: &Churned) -> Result<usize> {
        let relay = self.running()?;
        let left = relay.sessions()?;
        for session in &left {
            ensure!(
                churned.unanswered.contains(&session.client),
                "an ended session came back: {session:#?}"
            );
            relay.cli(&["session", "kill", &session.id.to_string()])?;
        }
        Ok(left.len())
    }

    /// The relay when all sessions have ended.
    fn after(&self, before: &Footprint) -> Result<Footprint> {
        let relay = self.running()?;
        let mut last = None;
        let small = within(Duration::from_secs(20), "everything is given back", || {
            last = Footprint::of(relay).ok();
            last.as_ref()
                .filter(|now| now.is_no_more_than(before))
                .map(drop)
        });
        small.with_context(|| {
            let sessions = relay.sessions();
            format!("before {before:#?}\nafter {last:#?}\n{sessions:#?}")
        })?;
        last.context("a footprint")
    }

    /// A stopped relay leaves nothing.
    fn finish(&mut self) -> Result<()> {
        let mut relay = self.relay.take().context("no relay runs")?;
        ensure!(relay.stop()? == 0, "exit code");
        let pinned = self.home.pinned();
        ensure!(pinned.is_empty(), "left pinned: {pinned:?}");
        let cards = self.topology.edge.run("ip", &["link"])?;
        ensure!(!cards.contains("xdp"), "left attached: {cards}");
        Ok(())
    }
}

fn start(topology: &Topology, home: Arc<Home>) -> Result<Relay> {
    let mut arguments = vec!["--interface", CLIENT_CARD, "--interface", SERVER_CARD];
    arguments.extend(["--xdp", "native", "--realm", "lab"]);
    arguments.extend([
        "--allow-peer",
        LAB_NETWORKS[0],
        "--allow-peer",
        LAB_NETWORKS[1],
    ]);
    // So few that each is used again and again.
    arguments.extend(["--relay-ports", "50000-50040"]);
    let users: Vec<_> = USERS.iter().chain([&steady::USER]).collect();
    let users: Vec<_> = users
        .iter()
        .map(|user| format!("{user}:{PASSWORD}"))
        .collect();
    users
        .iter()
        .for_each(|user| arguments.extend(["--user", user]));
    let relay = Relay::start_at(home, &topology.edge, &arguments)?;
    ensure!(
        relay.ready.contains(EDGE_V4) || relay.ready.contains("3478"),
        "{}",
        relay.ready
    );
    Ok(relay)
}
