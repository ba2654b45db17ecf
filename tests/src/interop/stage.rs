//! The lab with a TURN server on its edge. Client and server reach each other only through it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use relay_userspace::api::Status;
use tempfile::TempDir;

use super::background::Background;
use super::share::Share;
use crate::netns::{NetNs, output};
use crate::relay::{Relay, binary};
use crate::scratch;
use crate::topology::{
    CLIENT_CARD, EDGE_SERVER_V4, EDGE_SERVER_V6, EDGE_V4, EDGE_V6, LAB_NETWORKS, SERVER_CARD,
    Topology,
};

pub const USER: &str = "interop";
pub const PASSWORD: &str = "relay-only";
pub const REALM: &str = "relay.test";
pub const TURN_PORT: u16 = 3478;
/// One that nobody needs to be root for.
pub const TLS_PORT: u16 = 5349;

/// Who relays on the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Host {
    /// `relay serve` as root with native XDP on both cards.
    NativeXdp,
    /// `relay serve` as nobody, without a capability.
    Unprivileged,
    /// Debian's coturn in place of either: `RELAY_INTEROP_SERVER=coturn` checks the tests themselves.
    Coturn,
}

pub struct Stage {
    host: Host,
    /// Dropped in this order: processes, namespaces, files, its share of the machine.
    relay: Option<Relay>,
    background: Vec<Background>,
    pub lab: Topology,
    folder: TempDir,
    _share: Share,
}

impl Stage {
    /// The only one while it is there: two cores carry one set of real-time media.
    pub fn open(wish: Host) -> Result<Self> {
        Self::with(wish, Share::whole())
    }

    /// One of several, for clients that mostly wait.
    pub fn beside(wish: Host) -> Result<Self> {
        Self::with(wish, Share::one())
    }

    fn with(wish: Host, share: Share) -> Result<Self> {
        let coturn = std::env::var("RELAY_INTEROP_SERVER").is_ok_and(|name| name == "coturn");
        let mut stage = Self {
            host: if coturn { Host::Coturn } else { wish },
            relay: None,
            background: Vec::new(),
            lab: Topology::new()?,
            folder: scratch::folder("interop")?,
            _share: share,
        };
        match stage.host {
            Host::Coturn => stage.start_coturn()?,
            Host::NativeXdp => stage.start_privileged()?,
            Host::Unprivileged => stage.start_unprivileged()?,
        }
        Ok(stage)
    }

    pub fn host(&self) -> Host {
        self.host
    }

    /// For the files of one test.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The running relay; `None` when coturn stands in.
    pub fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    /// Starts a foreign server; it is killed with the stage.
    pub fn start(&mut self, command: Command, log: &str) -> Result<&mut Background> {
        let started = Background::start(command, &self.folder.path().join(log))?;
        self.background.push(started);
        self.background.last_mut().context("just pushed")
    }

    /// The foreign server that writes into `log`.
    pub fn foreign(&mut self, log: &str) -> Option<&mut Background> {
        let file = self.folder.path().join(log);
        self.background.iter_mut().find(|one| one.writes(&file))
    }

    pub fn status(&self) -> Result<Option<Status>> {
        self.relay.as_ref().map(Relay::status).transpose()
    }

    /// What the servers of the lab said, for the message of a failed test.
    pub fn logs(&self) -> String {
        let relay = self.relay.iter().map(Relay::log);
        let logs = relay.chain(self.background.iter().map(Background::log));
        logs.collect::<Vec<_>>().join("\n")
    }

    fn start_privileged(&mut self) -> Result<()> {
        self.relay = Some(Relay::start(&self.lab.edge, &serve("native"))?);
        let status = self.status()?.context("no status")?;
        let native = status.cards.iter().filter(|card| card.mode == "native");
        ensure!(native.count() == 2, "not native: {:?}", status.cards);
        Ok(())
    }

    fn start_unprivileged(&mut self) -> Result<()> {
        // The build folder may be closed to nobody. Written by another process: what a thread starts while this one
        // has a file open for writing holds it open as well, and an open file cannot be executed.
        let copy = self.folder.path().join("relay");
        output(Command::new("cp").arg(binary()).arg(&copy)).context("copy the relay command")?;
        std::fs::set_permissions(self.folder.path(), PermissionsExt::from_mode(0o755))?;
        let mut command = self.lab.edge.command("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        command.args(["--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]);
        // A new user forgets the death signal set before.
        command.args(["--pdeathsig", "KILL"]).arg(copy);
        self.relay = Some(Relay::spawn(command, &serve("auto"))?);
        let status = self.status()?.context("no status")?;
        ensure!(
            status.kernel_off.is_some(),
            "without a reason: {:?}",
            status.cards
        );
        Ok(())
    }

    fn start_coturn(&mut self) -> Result<()> {
        let folder = self.folder.path();
        let mut command = self.lab.edge.command("turnserver");
        command.args(["-n", "--no-tls", "--no-dtls", "--no-cli", "--lt-cred-mech"]);
        command.args(["--realm", REALM, "--log-file", "stdout"]);
        command.args(["--user", &format!("{USER}:{PASSWORD}")]);
        command.args(["--listening-ip", EDGE_V4, "--listening-ip", EDGE_V6]);
        command.args(["--relay-ip", EDGE_SERVER_V4, "--relay-ip", EDGE_SERVER_V6]);
        command.arg("--pidfile").arg(folder.join("coturn.pid"));
        command.arg("--db").arg(folder.join("coturn.db"));
        self.start(command, "coturn.log")?.wait_for_udp(TURN_PORT)
    }
}

/// Arguments of `relay serve` in this lab.
fn serve(xdp: &str) -> Vec<&str> {
    const CREDENTIALS: &str = "interop:relay-only";
    let cards = ["--interface", CLIENT_CARD, "--interface", SERVER_CARD];
    let relayed = [
        "--relay-address",
        EDGE_SERVER_V4,
        "--relay-address",
        EDGE_SERVER_V6,
    ];
    let peers = LAB_NETWORKS.map(|network| ["--allow-peer", network]);
    let auth = ["--user", CREDENTIALS, "--realm", REALM];
    [
        &cards[..],
        &relayed,
        &peers.concat(),
        &auth,
        &["--xdp", xdp],
    ]
    .concat()
}

/// A command that will run inside `namespace`.
pub fn inside(namespace: &NetNs, program: &Path) -> Result<Command> {
    let program = program.to_str().context("a path that is not UTF-8")?;
    Ok(namespace.command(program))
}
