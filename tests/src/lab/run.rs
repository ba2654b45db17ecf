//! `lab run`: the main job, end to end. A video through a forward and calls through TURN, while a table shows where they run.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::interrupt::Interrupt;
use super::janitor::Janitor;
use super::summary::{REAL_HOST, Report};
use super::table::Table;
use super::traffic::Traffic;
use super::video_call::{self, Calls, Place, Uplink};
use crate::privileged::require_root;
use crate::relay::{Relay, binary};
use crate::topology::{CLIENT_CARD, LAB_NETWORKS, SERVER_CARD, SERVER_V4, Topology};
use crate::trust::Trust;

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// End after `--seconds` of media and one call with UDP cut and restored; fail if media was lost, less than 99 % ran in
    /// the kernel, or the call did not go on.
    #[arg(long)]
    pub once: bool,
    /// Print the summary as one JSON object; everything else goes to stderr.
    #[arg(long)]
    pub json: bool,
    /// Seconds of media with `--once`.
    #[arg(long, default_value_t = 15)]
    pub seconds: u64,
}

const LOGIN: (&str, &str) = ("lab", "lab-password");
/// Of the video call.
const CALLER: (&str, &str) = ("caller", "caller-password");
const TICK: Duration = Duration::from_millis(10);

pub fn run(options: &Options) -> Result<()> {
    require_root("namespaces and XDP")?;
    let interrupt = Interrupt::catch()?;
    // Before the namespaces, so that it ends after them.
    let _janitor = Janitor::start()?;
    eprintln!(
        "lab: five namespaces, client - edge - server and caller - router - edge; native XDP on the edge's three cards"
    );
    let lab = Lab::open()?;
    eprintln!("lab: {}", lab.relay.ready);
    let report = lab.show(options, &interrupt);
    if report.is_err() {
        eprintln!("--- relay's log ---\n{}", lab.relay.log());
    }
    let report = report?;
    match options.json {
        true => println!("{}", serde_json::to_string(&report)?),
        false => eprintln!("\n{}\n\n{REAL_HOST}", report.text()),
    }
    let mut faults = report.faults();
    if interrupt.asked() {
        faults.insert(0, "interrupted before the end".to_owned());
    }
    ensure!(
        !options.once || faults.is_empty(),
        "{}; relay's log:\n{}",
        faults.join("; "),
        lab.relay.log()
    );
    Ok(())
}

/// Dropped in this order: the relay, namespaces, files.
struct Lab {
    relay: Relay,
    topology: Topology,
    uplink: Uplink,
    trust: Trust,
}

impl Lab {
    fn open() -> Result<Self> {
        let topology = Topology::new()?;
        let uplink = Uplink::new(&topology.edge)?;
        let trust = Trust::new()?;
        Ok(Self {
            relay: start_relay(&topology, &trust)?,
            topology,
            uplink,
            trust,
        })
    }

    /// Once: the media, then a call. Else both at a time, until somebody ends it.
    fn show(&self, options: &Options, interrupt: &Interrupt) -> Result<Report> {
        let mut traffic = Traffic::start(&self.topology, &self.relay, LOGIN)?;
        traffic.wait()?;
        let mut calls = match options.once {
            true => None,
            false => Some(self.calls()?),
        };
        self.watch(&mut traffic, &mut calls, options, interrupt)?;
        let media = traffic.finish(&self.topology, &self.relay)?;
        let call = match options.once {
            true => video_call::once(self.place(), interrupt)?,
            false => calls.and_then(|calls| calls.last()),
        };
        Ok(Report { media, call })
    }

    fn calls(&self) -> Result<Calls<'_>> {
        eprintln!("lab: to look in from another terminal:");
        let admin = self.relay.admin_socket().display();
        eprintln!("  {} --admin-socket {admin} top", binary().display());
        eprintln!("  {}", self.uplink.hint());
        Calls::start(self.place())
    }

    fn place(&self) -> Place<'_> {
        Place {
            uplink: &self.uplink,
            callee: &self.topology.server,
            callee_ip: SERVER_V4,
            trust: &self.trust,
            login: CALLER,
        }
    }

    /// Draws the table until it is time to end.
    fn watch(
        &self,
        traffic: &mut Traffic,
        calls: &mut Option<Calls<'_>>,
        options: &Options,
        interrupt: &Interrupt,
    ) -> Result<()> {
        let started = Instant::now();
        let mut table = Table::new(&self.relay.status()?);
        let mut next = started + Duration::from_secs(1);
        while !interrupt.asked() && (!options.once || started.elapsed().as_secs() < options.seconds)
        {
            if Instant::now() >= next {
                next += Duration::from_secs(1);
                let rows = calls.as_ref().map_or(Vec::new(), Calls::rows);
                let (status, sessions) = (self.relay.status()?, self.relay.sessions()?);
                table.draw(&status, &sessions, &traffic.receivers(), &rows);
            }
            traffic.check()?;
            if let Some(calls) = calls {
                calls.tick()?;
                if !table.is_drawn() {
                    calls.tell();
                }
            }
            std::thread::sleep(TICK);
        }
        Ok(())
    }
}

fn start_relay(topology: &Topology, trust: &Trust) -> Result<Relay> {
    let users = [LOGIN, CALLER].map(|(name, password)| format!("{name}:{password}"));
    let certificate = trust.argument();
    let mut arguments = vec!["--xdp", "native", "--certificate", &certificate];
    for card in [CLIENT_CARD, SERVER_CARD, video_call::CARD] {
        arguments.extend(["--interface", card]);
    }
    for network in &LAB_NETWORKS {
        arguments.extend(["--allow-peer", network]);
    }
    for user in &users {
        arguments.extend(["--user", user]);
    }
    Relay::start(&topology.edge, &arguments)
}
