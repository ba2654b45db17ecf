//! The real relay between a client's and a server's namespace, with calls through it. Panics where a test would.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::client::TurnClient;
use crate::eventually::eventually;
use crate::netns::NetNs;
use crate::packet::channel_data;
use crate::privileged;
use crate::relay::Relay;
use crate::topology::{CLIENT_CARD, LAB_NETWORKS, SERVER_CARD, Topology};

pub const CHANNEL: u16 = 0x4123;

/// Of a relay on these cards of the edge, with one user and the lab's peers allowed.
pub fn arguments<'a>(cards: &[&'a str], xdp: &'a str) -> Vec<&'a str> {
    let cards = cards.iter().flat_map(|card| ["--interface", card]);
    let mut arguments: Vec<_> = cards.collect();
    arguments.extend(["--xdp", xdp, "--realm", "lab", "--user", "user:password"]);
    let networks = LAB_NETWORKS.iter();
    arguments.extend(networks.flat_map(|network| ["--allow-peer", network]));
    arguments
}

/// Namespaces with a running relay between them.
pub struct Scene {
    pub topology: Topology,
    pub relay: Relay,
}

/// A TURN client with a channel to a peer in the server namespace.
pub struct Call {
    pub client: TurnClient,
    pub peer: UdpSocket,
}

impl Scene {
    /// With the kernel path in this mode. `None`, with the reason said: not root.
    pub fn new(xdp: &str) -> Option<Self> {
        Self::with(xdp, &[])
    }

    /// With more arguments of `relay serve`.
    pub fn with(xdp: &str, more: &[&str]) -> Option<Self> {
        if !privileged::is_root() {
            return None;
        }
        let topology = Topology::new().unwrap();
        let mut arguments = arguments(&[CLIENT_CARD, SERVER_CARD], xdp);
        arguments.extend(more);
        let relay = Relay::start(&topology.edge, &arguments).unwrap();
        Some(Self { topology, relay })
    }

    /// A client with an allocation in `server`'s family, waiting at most five seconds for packets.
    pub fn client(&self, client: &str, edge: &str) -> TurnClient {
        self.client_of(client, edge, "user", "password")
    }

    /// The same of another user.
    pub fn client_of(&self, client: &str, edge: &str, user: &str, password: &str) -> TurnClient {
        let [client, edge] = [client, edge].map(|a| a.parse::<IpAddr>().unwrap());
        let socket = udp(&self.topology.client, client);
        let server = SocketAddr::new(edge, 3478);
        TurnClient::allocate(socket, server, user, password).unwrap()
    }

    pub fn peer(&self, server: &str) -> UdpSocket {
        udp(&self.topology.server, server.parse().unwrap())
    }

    pub fn call(&self, client: &str, edge: &str, server: &str) -> Call {
        let peer = self.peer(server);
        let mut client = self.client(client, edge);
        client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
        wait_five_seconds(&client.socket);
        Call { client, peer }
    }

    pub fn wait_for_kernel(&self) {
        let all_in_kernel = || {
            let sessions = self.relay.sessions().unwrap();
            !sessions.is_empty() && sessions.iter().all(|s| s.runs_in == "kernel")
        };
        if eventually("sessions run in the kernel", all_in_kernel).is_err() {
            panic!("{:#?}", self.relay.sessions().unwrap());
        }
    }

    /// Packets relayed in the kernel and in userspace so far.
    pub fn packets(&self) -> (u64, u64) {
        let status = self.relay.status().unwrap();
        (status.kernel.packets, status.userspace.packets)
    }

    /// How often the kernel program came to this verdict.
    pub fn verdict(&self, name: &str) -> u64 {
        self.count("kernel_packets", name)
    }

    /// The counter `name`, of its values the one with this label; the first where it has none.
    pub fn count(&self, name: &str, label: &str) -> u64 {
        let counters: serde_json::Value =
            serde_json::from_str(&self.relay.admin("/v1/counters").unwrap()).unwrap();
        let samples = counters.as_array().expect("a list of samples");
        let of = |s: &&serde_json::Value| {
            let labels = s["labels"].to_string();
            s["name"] == name && (label.is_empty() || labels.contains(&format!("\"{label}\"")))
        };
        samples
            .iter()
            .find(of)
            .and_then(|s| s["value"].as_u64())
            .unwrap_or_else(|| panic!("no {name} {label}"))
    }
}

impl Call {
    /// `count` packets each way, each one checked.
    pub fn exchange(&self, count: u32) {
        for i in 0..count {
            self.to_peer(&i.to_be_bytes().repeat(1 + i as usize % 50));
            self.to_client(&i.to_le_bytes().repeat(1 + i as usize % 70));
        }
    }

    pub fn to_peer(&self, data: &[u8]) {
        self.client.send(CHANNEL, data).unwrap();
        let mut buffer = vec![0; 65_536];
        let (length, from) = self
            .peer
            .recv_from(&mut buffer)
            .expect("a packet at the peer");
        assert_eq!((from, &buffer[..length]), (self.client.relayed, data));
    }

    pub fn to_client(&self, data: &[u8]) {
        self.peer.send_to(data, self.client.relayed).unwrap();
        let mut buffer = vec![0; 65_536];
        let (length, from) = self
            .client
            .socket
            .recv_from(&mut buffer)
            .expect("a packet at the client");
        assert_eq!(
            (from, &buffer[..length]),
            (self.client.server, &channel_data(CHANNEL, data, 0)[..])
        );
    }
}

fn udp(namespace: &NetNs, address: IpAddr) -> UdpSocket {
    let socket = namespace
        .enter(|| Ok(UdpSocket::bind((address, 0))?))
        .unwrap();
    wait_five_seconds(&socket);
    socket
}

fn wait_five_seconds(socket: &UdpSocket) {
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
}
