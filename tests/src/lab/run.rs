//! `lab run`: the main job, end to end. A video through a forward and calls through TURN, while a table shows where they run.

use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};

use super::call::{Call, Ends, Media};
use super::histogram::Histogram;
use super::interrupt::Interrupt;
use super::janitor::Janitor;
use super::ledger::Ledger;
use super::summary::{REAL_HOST, Summary};
use super::table::{Receivers, Table};
use super::video;
use crate::eventually::within;
use crate::privileged::require_root;
use crate::relay::Relay;
use crate::topology::{
    CLIENT_CARD, CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, LAB_NETWORKS, SERVER_CARD, SERVER_V4,
    SERVER_V6, Topology,
};

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// End after `--seconds` of media; fail if anything was lost or less than 99 % ran in the kernel.
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
const TURN_PORT: u16 = 3478;
const VIDEO_PORT: u16 = 5004;

/// Calls: like audio and like video over IPv4, and one over IPv6.
const AUDIO: Media = Media {
    packets_per_second: 50,
    bytes: 160,
};
const PICTURE: Media = Media {
    packets_per_second: 200,
    bytes: 1100,
};
const SIXTH: Media = Media {
    packets_per_second: 100,
    bytes: 400,
};

pub fn run(options: &Options) -> Result<()> {
    require_root("namespaces and XDP")?;
    let interrupt = Interrupt::catch()?;
    // Before the namespaces, so that it ends after them.
    let _janitor = Janitor::start()?;
    eprintln!("lab: three namespaces, client - edge - server; native XDP on the edge's two cards");
    let topology = Topology::new()?;
    let relay = start_relay(&topology)?;
    eprintln!("lab: {}", relay.ready);
    let mut media = Traffic::start(&topology, &relay)?;
    let watched = media.watch(&relay, options, &interrupt);
    if watched.is_err() {
        eprintln!("--- relay's log ---\n{}", relay.log());
    }
    watched?;
    let summary = media.finish(&topology, &relay)?;
    match options.json {
        true => println!("{}", serde_json::to_string(&summary)?),
        false => eprintln!("\n{}\n\n{REAL_HOST}", summary.text()),
    }
    let faults = summary.faults();
    ensure!(
        !options.once || faults.is_empty(),
        "{}; relay's log:\n{}",
        faults.join("; "),
        relay.log()
    );
    ensure!(
        !options.once || !interrupt.asked(),
        "interrupted before {} s of media",
        options.seconds
    );
    Ok(())
}

fn start_relay(topology: &Topology) -> Result<Relay> {
    let login = format!("{}:{}", LOGIN.0, LOGIN.1);
    let mut arguments = vec![
        "--interface",
        CLIENT_CARD,
        "--interface",
        SERVER_CARD,
        "--xdp",
        "native",
    ];
    for network in &LAB_NETWORKS {
        arguments.extend(["--allow-peer", network]);
    }
    arguments.extend(["--user", &login]);
    Relay::start(&topology.edge, &arguments)
}

/// Everything that is sent, and its receivers.
struct Traffic {
    sender: video::Sender,
    receiver: video::Receiver,
    calls: Vec<Call>,
}

impl Traffic {
    fn start(topology: &Topology, relay: &Relay) -> Result<Self> {
        let receiver = video::Receiver::start(&topology.server, SERVER_V4)?;
        let (listen, to) = (format!("udp/{VIDEO_PORT}"), receiver.address.to_string());
        relay.cli(&[
            "forward", "add", "--name", "video", "--listen", &listen, "--to", &to,
        ])?;
        let calls = [(AUDIO, false), (PICTURE, false), (SIXTH, true)];
        let calls = calls.map(|(media, six)| Call::start(ends(topology, six)?, LOGIN, media));
        let sender = video::Sender::start(
            &topology.client,
            (EDGE_V4.parse::<std::net::Ipv4Addr>()?, VIDEO_PORT).into(),
        )?;
        Ok(Self {
            sender,
            receiver,
            calls: calls.into_iter().collect::<Result<_>>()?,
        })
    }

    /// Draws the table until it is time to end.
    fn watch(&mut self, relay: &Relay, options: &Options, interrupt: &Interrupt) -> Result<()> {
        let first = |ledger: &Ledger| (ledger.lock().received > 0).then_some(());
        within(Duration::from_secs(20), "video arrives", || {
            first(&self.receiver.ledger)
        })?;
        let started = Instant::now();
        let mut table = Table::new(&relay.status()?);
        let mut next = started + Duration::from_secs(1);
        while !interrupt.asked() && (!options.once || started.elapsed().as_secs() < options.seconds)
        {
            if Instant::now() >= next {
                next += Duration::from_secs(1);
                table.draw(&relay.status()?, &relay.sessions()?, &self.receivers());
            }
            self.sender.check()?;
            self.calls.iter_mut().try_for_each(Call::check)?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    /// Stops the senders, waits for what is under way and counts.
    fn finish(mut self, topology: &Topology, relay: &Relay) -> Result<Summary> {
        self.sender.stop()?;
        self.calls.iter_mut().try_for_each(Call::stop)?;
        let others: u64 = self.calls.iter().map(Call::client_datagrams).sum();
        let Some(video) = video::datagrams_sent(&topology.client)?.checked_sub(others) else {
            bail!("the client's sockets sent less than its calls did");
        };
        self.receiver.ledger.lock().sent = video;
        // Late or lost is told by waiting; the outcome is counted below, so running into the limit is no error here.
        let _ = within(Duration::from_secs(2), "video drains", || {
            (self.receiver.ledger.missing() == 0).then_some(())
        });
        let lost = self.ledgers().map(Ledger::missing).sum();
        let status = relay.status()?;
        Ok(Summary::new(
            status.kernel.packets,
            status.userspace.packets,
            lost,
            &self.receivers().delay,
        ))
    }

    fn receivers(&self) -> Receivers {
        let mut sum = Receivers {
            received: 0,
            gaps: 0,
            delay: Histogram::default(),
        };
        for ledger in self.ledgers() {
            let stream = ledger.lock();
            sum.received += stream.received;
            sum.gaps += stream.gaps();
            sum.delay.merge(&stream.delay);
        }
        sum
    }

    fn ledgers(&self) -> impl Iterator<Item = &Ledger> {
        let calls = self
            .calls
            .iter()
            .flat_map(|call| [&call.to_peer, &call.to_client]);
        std::iter::once(&self.receiver.ledger).chain(calls)
    }
}

fn ends(topology: &Topology, six: bool) -> Result<Ends<'_>> {
    let (client_ip, turn, peer_ip) = match six {
        true => (CLIENT_V6, EDGE_V6, SERVER_V6),
        false => (CLIENT_V4, EDGE_V4, SERVER_V4),
    };
    let turn = (turn.parse::<std::net::IpAddr>()?, TURN_PORT).into();
    Ok(Ends {
        client: &topology.client,
        client_ip,
        peer: &topology.server,
        peer_ip,
        turn,
    })
}
