//! `relay connect` behind a link that can be made bad, a relay before it, and a peer. Panics where a test would.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::link::{Link, Shape};
use crate::netns::NetNs;
use crate::privileged;
use crate::relay::{Follower, Relay, binary};
use crate::scene::arguments;
use crate::topology::{CLIENT_V4, EDGE_V4, SERVER_V4, link_server};
use crate::trust::Trust;

/// As of a home; both directions.
const SHAPE: Shape = Shape {
    delay: Duration::from_millis(10),
    queue: 256 << 10,
};

/// A client's host, a relay's and a peer's. The first is behind `link`.
pub struct Rough {
    pub client: NetNs,
    pub server: NetNs,
    pub link: Link,
    pub relay: Relay,
    trust: Trust,
    _edge: NetNs,
}

impl Rough {
    /// `None`, with the reason said: not root.
    pub fn new() -> Option<Self> {
        Self::with(&[])
    }

    /// The same with more arguments of `relay serve`.
    pub fn with(more: &[&str]) -> Option<Self> {
        if !privileged::is_root() {
            return None;
        }
        crate::netns::remove_stale();
        let [client, edge, server] =
            ["client", "edge", "server"].map(|label| NetNs::new(label).unwrap());
        let (near, far) = ((&edge, "access", EDGE_V4), (&client, "eth0", CLIENT_V4));
        let link = Link::new(near, far, SHAPE).unwrap();
        link_server(&server, &edge).unwrap();
        let trust = Trust::new().unwrap();
        let pair = format!("{}:{}", trust.cert().display(), trust.key().display());
        let mut wish = arguments(&[], "off");
        wish.extend(["--certificate", &pair, "--relay-address", EDGE_V4]);
        wish.extend(more);
        let relay = Relay::start(&edge, &wish).unwrap();
        Some(Self {
            client,
            server,
            link,
            relay,
            trust,
            _edge: edge,
        })
    }

    pub fn peer(&self) -> UdpSocket {
        socket(&self.server, SERVER_V4)
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
