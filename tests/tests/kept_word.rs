//! What the relay has answered stays true, however soon after it the relay is killed.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use relay_tests::client::TurnClient;
use relay_tests::home::Home;
use relay_tests::privileged;
use relay_tests::relay::Relay;
use relay_tests::topology::{CLIENT_V4, EDGE_V4, LAB_NETWORKS, SERVER_V4, Topology};
use relay_userspace::api::LimitsView;

/// Kills; the moment between an answer and its commit was 0.1 to 1 ms.
const ROUNDS: usize = 12;

fn start(topology: &Topology, home: Arc<Home>) -> Relay {
    let mut arguments = vec!["--xdp", "off", "--user", "user:password", "--realm", "lab"];
    arguments.extend(["--allow-peer", LAB_NETWORKS[0]]);
    Relay::start_at(home, &topology.edge, &arguments).unwrap()
}

fn lab() -> Option<(Topology, Relay)> {
    if !privileged::is_root() {
        return None;
    }
    let topology = Topology::new().unwrap();
    let relay = start(&topology, Arc::new(Home::surviving().unwrap()));
    Some((topology, relay))
}

fn allocate(topology: &Topology) -> TurnClient {
    let bind = || UdpSocket::bind((CLIENT_V4.parse::<IpAddr>().unwrap(), 0));
    let socket = topology.client.enter(|| Ok(bind()?)).unwrap();
    let server = SocketAddr::new(EDGE_V4.parse().unwrap(), 3478);
    TurnClient::allocate(socket, server, "user", "password").unwrap()
}

#[test]
fn what_was_allocated_a_moment_before_a_kill_is_there_and_what_was_ended_is_not() {
    let Some((topology, mut relay)) = lab() else {
        return;
    };
    for round in 0..ROUNDS {
        let mut leaving = allocate(&topology);
        // The answer to a repetition says the same, and may come first.
        leaving.copies = 1 + round % 3;
        // The last answer before the kill is the one or the other.
        let mut staying = if round % 2 == 0 {
            leaving.refresh(0).unwrap();
            allocate(&topology)
        } else {
            let staying = allocate(&topology);
            leaving.refresh(0).unwrap();
            staying
        };
        let own = staying.socket.local_addr().unwrap();
        relay = start(&topology, relay.kill().unwrap());
        let clients: Vec<_> = relay.sessions().unwrap().iter().map(|s| s.client).collect();
        assert_eq!(clients, [own], "round {round}");
        assert_eq!(staying.refresh(600).unwrap(), 600);
        staying.refresh(0).unwrap();
    }
}

#[test]
fn a_session_an_operator_killed_stays_ended_and_a_limit_stays_set() {
    let Some((topology, relay)) = lab() else {
        return;
    };
    let clients = [(); 2].map(|()| {
        let mut client = allocate(&topology);
        let peer = SocketAddr::new(SERVER_V4.parse().unwrap(), 9);
        client.bind(0x4001, peer).unwrap();
        client
    });
    let [killed, limited] = clients.each_ref().map(|client| {
        let own = client.socket.local_addr().unwrap();
        let sessions = relay.sessions().unwrap();
        sessions
            .iter()
            .find(|s| s.client == own)
            .unwrap()
            .id
            .to_string()
    });
    let of_session = ["limit", "set", "--session", &limited, "--packets", "50"];
    relay.cli(&of_session).unwrap();
    let of_user = ["limit", "set", "--user", "user", "--bits", "5M"];
    relay.cli(&of_user).unwrap();
    relay.cli(&["session", "kill", &killed]).unwrap();
    let relay = start(&topology, relay.kill().unwrap());
    let [left] = relay.sessions().unwrap().try_into().unwrap();
    assert_eq!(left.id.to_string(), limited);
    assert_eq!(left.limit.packets_per_second, Some(50));
    let told = relay.cli(&["limit", "list", "--json"]).unwrap();
    let limits: LimitsView = serde_json::from_str(&told).unwrap();
    assert_eq!(limits.users[0].limit.bits_per_second, Some(5_000_000));
    // The limit of a session goes with it.
    relay.cli(&["session", "kill", &limited]).unwrap();
    let relay = start(&topology, relay.kill().unwrap());
    assert!(relay.sessions().unwrap().is_empty());
    assert!(!relay.log().contains("limit/session"), "{}", relay.log());
}
