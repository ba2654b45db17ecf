//! Sessions outlive the process that made them: in the kernel without a gap, in the next process by adoption.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use relay_tests::client::TurnClient;
use relay_tests::eventually::eventually;
use relay_tests::home::Home;
use relay_tests::packet::channel_data;
use relay_tests::privileged;
use relay_tests::relay::Relay;
use relay_tests::topology::{
    CLIENT_CARD, CLIENT_V4, EDGE_V4, LAB_NETWORKS, SERVER_CARD, SERVER_V4, Topology,
};

const CHANNEL: u16 = 0x4123;

/// The arguments of every relay here.
fn start(topology: &Topology, home: Arc<Home>, more: &[&str]) -> Relay {
    let mut arguments = vec!["--interface", CLIENT_CARD, "--interface", SERVER_CARD];
    arguments.extend(["--xdp", "native", "--user", "user:password"]);
    arguments.extend(["--realm", "lab", "--allow-peer", LAB_NETWORKS[0]]);
    arguments.extend(more);
    Relay::start_at(home, &topology.edge, &arguments).unwrap()
}

fn lab() -> Option<(Topology, Relay)> {
    if !privileged::is_root() {
        return None;
    }
    let topology = Topology::new().unwrap();
    let relay = start(&topology, Arc::new(Home::surviving().unwrap()), &[]);
    Some((topology, relay))
}

/// A TURN client with a channel to a peer in the server namespace.
struct Call {
    client: TurnClient,
    peer: UdpSocket,
}

impl Call {
    fn new(topology: &Topology) -> Self {
        let bind = |ip: &str| UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), 0));
        let socket = topology.client.enter(|| Ok(bind(CLIENT_V4)?)).unwrap();
        let peer = topology.server.enter(|| Ok(bind(SERVER_V4)?)).unwrap();
        let server = SocketAddr::new(EDGE_V4.parse().unwrap(), 3478);
        let mut client = TurnClient::allocate(socket, server, "user", "password").unwrap();
        client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
        for socket in [&client.socket, &peer] {
            socket
                .set_read_timeout(Some(Duration::from_secs(5)))
                .unwrap();
        }
        Self { client, peer }
    }

    /// `count` packets each way, each one checked: none may be lost.
    fn exchange(&self, count: u32) {
        let mut buffer = [0; 64];
        for i in 0..count {
            let data = i.to_be_bytes();
            self.client.send(CHANNEL, &data).unwrap();
            let (length, from) = self.peer.recv_from(&mut buffer).expect("at the peer");
            assert_eq!((from, &buffer[..length]), (self.client.relayed, &data[..]));
            self.peer.send_to(&data, self.client.relayed).unwrap();
            let length = self.client.socket.recv(&mut buffer).expect("at the client");
            assert_eq!(&buffer[..length], channel_data(CHANNEL, &data, 0));
        }
    }
}

fn wait_for_kernel(relay: &Relay) {
    eventually("sessions run in the kernel", || {
        let sessions = relay.sessions().unwrap();
        !sessions.is_empty() && sessions.iter().all(|s| s.runs_in == "kernel")
    })
    .unwrap();
}

#[test]
fn a_killed_relay_leaves_its_sessions_running_in_the_kernel() {
    let Some((topology, relay)) = lab() else {
        return;
    };
    let call = Call::new(&topology);
    wait_for_kernel(&relay);
    let home = relay.kill().unwrap();
    call.exchange(200);
    let before = home.pinned();
    assert_eq!(before.iter().filter(|n| n.starts_with("link-")).count(), 2);
    let mut next = start(&topology, Arc::clone(&home), &[]);
    assert_eq!(home.pinned().len(), before.len(), "{:?}", home.pinned());
    assert!(next.log().contains("go on in the kernel"), "{}", next.log());
    assert!(
        next.status()
            .unwrap()
            .cards
            .iter()
            .all(|c| c.mode == "native"),
        "the links were taken over"
    );
    assert_eq!(next.stop().unwrap(), 0);
    assert!(home.pinned().is_empty(), "{:?}", home.pinned());
    let cards = topology.edge.run("ip", &["link"]).unwrap();
    assert!(!cards.contains("xdp"), "{cards}");
}
