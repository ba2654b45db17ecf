//! `relay connect` behind a link that can be made bad, a relay before it, and a peer. Panics where a test would.

mod media;

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;

use crate::link::{Link, Shape};
use crate::netns::NetNs;
use crate::privileged;
use crate::relay::{Follower, Relay, binary};
use crate::scene::arguments;
use crate::topology::{CLIENT_V4, EDGE_V4, SERVER_V4, link_server};
use crate::trust::Trust;
pub use media::{Media, Pace};

pub const ROUND_TRIP: Duration = Duration::from_millis(20);
/// As of a home; both directions.
const SHAPE: Shape = Shape {
    delay: Duration::from_millis(10),
    queue: 256 << 10,
};

/// A machine too busy to take what comes by TLS within the default 200 ms is no slow link.
const PATIENT: &str = "[stream]\nmax_queue_age = \"5s\"\n";

/// A client's host, a relay's and a peer's. The first is behind `link`.
pub struct Rough {
    pub client: NetNs,
    pub server: NetNs,
    pub link: Link,
    pub relay: Relay,
    pub edge: NetNs,
    trust: Trust,
}

impl Rough {
    /// `None`, with the reason said: not root.
    pub fn new() -> Option<Self> {
        Self::with("", &[])
    }

    /// With more of a configuration and of arguments.
    pub fn with(config: &str, more: &[&str]) -> Option<Self> {
        let config = format!("{PATIENT}{config}");
        privileged::is_root().then(|| Self::open(0, &config, more).unwrap())
    }

    /// With the link's lots of this seed, and this configuration alone.
    pub fn open(seed: u64, config: &str, more: &[&str]) -> Result<Self> {
        crate::residue::sweep();
        let [client, edge, server] = ["client", "edge", "server"].map(NetNs::new);
        let (client, edge, server) = (client?, edge?, server?);
        let (near, far) = ((&edge, "access", EDGE_V4), (&client, "eth0", CLIENT_V4));
        let link = Link::seeded(near, far, SHAPE, seed)?;
        link_server(&server, &edge)?;
        let trust = Trust::new()?;
        let relay = start_relay(&edge, &trust, (EDGE_V4, config), more)?;
        Ok(Self {
            client,
            server,
            link,
            relay,
            edge,
            trust,
        })
    }

    pub fn peer(&self) -> UdpSocket {
        socket(&self.server, SERVER_V4)
    }

    /// After its end, as another process that knows nothing of it.
    pub fn start_relay_again(&mut self) {
        self.relay = start_relay(&self.edge, &self.trust, (EDGE_V4, PATIENT), &[]).unwrap();
    }

    /// One more, at another address of the relay's host.
    pub fn another_relay(&self, address: &str, config: &str, more: &[&str]) -> Relay {
        let prefix = format!("{address}/24");
        self.edge
            .ip(&["addr", "add", &prefix, "dev", "access"])
            .unwrap();
        start_relay(&self.edge, &self.trust, (address, config), more).unwrap()
    }

    /// A connector in this mode that is ready, the stream through it, and what it said of its first leg.
    pub fn connected(&self, mode: &str, pace: Pace, timing: &[&str]) -> (Follower, Media, Value) {
        let peer = self.peer();
        let forward = format!("udp/127.0.0.1:0={}", peer.local_addr().unwrap());
        let mut command = self.connect_command(mode, &forward);
        command.args(timing.iter().flat_map(|one| ["--timing", one]));
        let connector = Follower::start(&mut command).unwrap();
        let port = local_port(&connector);
        let selected = wait_for(&connector, "transport-selected");
        wait_for(&connector, "ready");
        let media = Media::start(self, peer, port, pace).unwrap();
        (connector, media, selected)
    }

    /// An application's socket, beside the connector.
    pub fn application(&self) -> UdpSocket {
        socket(&self.client, "127.0.0.1")
    }

    pub fn connect(&self, mode: &str, forward: &str) -> Follower {
        Follower::start(&mut self.connect_command(mode, forward)).unwrap()
    }

    /// In this mode with one forward, as the test's user.
    pub fn connect_command(&self, mode: &str, forward: &str) -> Command {
        let mut command = self.connect_as_nobody(mode, forward);
        command.args(["--user", "user"]);
        command.env("RELAY_CONNECT_PASSWORD", "password");
        command
    }

    /// A verb of the `relay` command, on the client's host.
    pub fn command(&self, verb: &str) -> Command {
        let mut command = self.client.command(binary().to_str().unwrap());
        command.arg(verb);
        command
    }

    /// The relay's own authority.
    pub fn certificate(&self) -> PathBuf {
        self.trust.cert()
    }

    /// Without a proof of who asks.
    pub fn connect_as_nobody(&self, mode: &str, forward: &str) -> Command {
        let mut command = self.command("connect");
        command.args(["--server", EDGE_V4, "--tls-name", "relay.test"]);
        command.arg("--ca").arg(self.certificate());
        command.args(["--stats", "1s", "--json"]);
        command.args(["--mode", mode, "--forward", forward]);
        command
    }
}

fn start_relay(
    edge: &NetNs,
    trust: &Trust,
    (address, config): (&str, &str),
    more: &[&str],
) -> Result<Relay> {
    let file = trust.folder().join(format!("{address}.toml"));
    std::fs::write(&file, config)?;
    let (file, pair) = (file.display().to_string(), trust.argument());
    let mut wish = arguments(&[], "off");
    wish.extend(["--config", &file, "--certificate", &pair]);
    wish.extend(["--relay-address", address]);
    wish.extend(more);
    Relay::start(edge, &wish)
}

/// The next line about `event`.
pub fn wait_for(connector: &Follower, event: &str) -> Value {
    let lines = connector.until(|line: &Value| line["event"] == event);
    lines.unwrap().pop().unwrap()
}

/// The local port of the only forward, once it is open.
pub fn local_port(connector: &Follower) -> SocketAddr {
    let line = wait_for(connector, "listening");
    let ports = ["udp", "tcp"].iter().flat_map(|of| line[of].as_array());
    let mut ports = ports.flatten().filter_map(Value::as_str);
    ports.next().unwrap().parse().unwrap()
}

fn socket(namespace: &NetNs, address: &str) -> UdpSocket {
    let socket = namespace.enter(|| Ok(UdpSocket::bind((address, 0))?));
    let socket = socket.unwrap();
    let patience = Some(Duration::from_secs(5));
    socket.set_read_timeout(patience).unwrap();
    socket
}
