//! TCP allocations (RFC 6062): connections to and from peers, and the data connections of their client.

use stun_types::attribute::AttributeWrite;
use turn_types::attribute::*;
use turn_types::message::{ALLOCATE, CONNECT, CONNECTION_BIND};

use super::harness::*;
use crate::turn::{ConnectionId, Transport, Unbindable};

const TCP: fn() -> RequestedTransport = || RequestedTransport::new(6);
const RELAYED: &str = "5.6.7.8:50000";

fn by_tcp(client: Client) -> Client {
    let mut client = client;
    client.tuple.transport = Transport::Tcp;
    client
}

fn control() -> Client {
    by_tcp(alice())
}

/// Another connection of Alice.
fn data() -> Client {
    by_tcp(client(1001, "alice", "wonderland"))
}

fn allocated() -> TestServer {
    let mut s = TestServer::new();
    assert_eq!(s.allocate_with(&control(), &[&TCP()]), addr(RELAYED));
    s
}

fn connect(s: &mut TestServer, client: &Client, peer: &str, expected: &[&str]) {
    let peer = s.peer(peer);
    s.expect(client, CONNECT, &[&peer], expected);
}

fn bind(s: &mut TestServer, client: &Client, connection: u32, expected: &[&str]) {
    let id = turn_types::attribute::ConnectionId::new(connection);
    s.expect(client, CONNECTION_BIND, &[&id], expected);
}

fn connected(s: &mut TestServer) {
    connect(
        s,
        &control(),
        PEER,
        &["connect 1 5.6.7.8:50000>8.8.8.8:1000"],
    );
    s.server.peer_connected(s.now, ConnectionId(1), true);
    s.assert_commands(&["1000 Connect connection 1 ok"]);
}

#[test]
fn a_tcp_allocation_is_for_clients_on_connections_and_without_datagram_wishes() {
    let mut s = TestServer::new();
    s.expect(&alice(), ALLOCATE, &[&TCP()], &["1000 Allocate 400"]);
    let wrong: [&dyn AttributeWrite; 3] = [
        &EvenPort::new(false),
        &DontFragment::new(),
        &ReservationToken::new(1),
    ];
    for attribute in wrong {
        s.expect(
            &control(),
            ALLOCATE,
            &[&TCP(), attribute],
            &["1000 Allocate 400"],
        );
    }
    let mut s = allocated();
    s.expect_bind(&control(), 0x4000, PEER, &["1000 ChannelBind 400"]);
    s.expect_permission(&control(), &[PEER], &["1000 CreatePermission ok"]);
    s.server.client_gone(control().tuple);
    s.assert_commands(&["release 5.6.7.8:50000"]);
    assert_eq!(s.server.poll_timeout(), None);
}

#[test]
fn a_connection_is_made_named_and_joined_once() {
    let mut s = allocated();
    connected(&mut s);
    bind(&mut s, &data(), 1, &["join 1 for alice at 1001"]);
    assert_eq!(s.server.bind_connection(ConnectionId(1), "alice"), Ok(()));
    let twice = s.server.bind_connection(ConnectionId(1), "alice");
    assert_eq!(twice, Err(Unbindable::Unknown));
    // Joined, it waits for nothing.
    s.advance(60);
    s.assert_commands(&[]);
    connect(&mut s, &control(), PEER, &["1000 Connect 446"]);
    s.server.peer_gone(ConnectionId(1));
    connect(
        &mut s,
        &control(),
        PEER,
        &["connect 2 5.6.7.8:50000>8.8.8.8:1000"],
    );
}

/// The host's own servers listen for TCP in the same range of ports.
#[test]
fn a_port_that_relays_udp_is_no_way_to_what_listens_for_tcp_there() {
    let mut s = allocated();
    let peer = "5.6.7.8:50001";
    s.expect_permission(&control(), &[peer], &["1000 CreatePermission ok"]);
    connect(&mut s, &control(), peer, &["1000 Connect 403"]);
}

#[test]
fn what_a_join_came_to_is_told_on_the_data_connection() {
    for (result, told) in [
        (Ok(ConnectionId(1)), "1001 ConnectionBind ok"),
        (Err(Unbindable::Unknown), "1001 ConnectionBind 400"),
        (Err(Unbindable::NotYours), "1001 ConnectionBind 441"),
    ] {
        let mut s = allocated();
        let id = turn_types::attribute::ConnectionId::new(1);
        let request = s.request(&data(), CONNECTION_BIND, &[&id]);
        s.receive(&data(), &request);
        let Some(crate::turn::Command::JoinConnections { from, origin, .. }) =
            s.server.next_command()
        else {
            panic!("no join")
        };
        s.server.connection_joined(from, &origin, result);
        s.assert_commands(&[told]);
    }
}

#[test]
fn another_user_gets_no_ones_connection() {
    let mut s = allocated();
    connected(&mut s);
    let stolen = s.server.bind_connection(ConnectionId(1), "bob");
    assert_eq!(stolen, Err(Unbindable::NotYours));
    assert_eq!(s.server.bind_connection(ConnectionId(1), "alice"), Ok(()));
    assert_eq!(
        s.server.bind_connection(ConnectionId(7), "alice"),
        Err(Unbindable::Unknown)
    );
}

#[test]
fn a_data_connection_is_for_one_peer_connection() {
    let mut s = allocated();
    connected(&mut s);
    bind(&mut s, &data(), 1, &["join 1 for alice at 1001"]);
    bind(&mut s, &data(), 1, &["1001 ConnectionBind 400"]);
    bind(&mut s, &data(), 2, &["1001 ConnectionBind 400"]);
    // Until it is closed, and another has its 5-tuple.
    s.server.client_gone(data().tuple);
    bind(&mut s, &data(), 1, &["join 1 for alice at 1001"]);
}

#[test]
fn a_data_connection_that_got_none_may_try_again() {
    let mut s = allocated();
    for _ in 0..2 {
        let id = turn_types::attribute::ConnectionId::new(7);
        let request = s.request(&data(), CONNECTION_BIND, &[&id]);
        s.receive(&data(), &request);
        let Some(crate::turn::Command::JoinConnections { from, origin, .. }) =
            s.server.next_command()
        else {
            panic!("no join")
        };
        let unknown = Err(Unbindable::Unknown);
        s.server.connection_joined(from, &origin, unknown);
        s.assert_commands(&["1001 ConnectionBind 400"]);
    }
}

#[test]
fn a_peer_that_connects_again_and_again_leaves_room_for_others() {
    let mut s = allocated();
    s.expect_permission(&control(), &[PEER, OTHER], &["1000 CreatePermission ok"]);
    let mut arrive = |peer| {
        let arrived = s.server.peer_arrived(s.now, addr(RELAYED), addr(peer));
        while s.server.next_command().is_some() {}
        arrived.is_some()
    };
    // A quarter of three, and one at least.
    assert!(arrive("8.8.8.8:7"));
    assert!(!arrive("8.8.8.8:8"));
    assert!(arrive(OTHER));
    connect(
        &mut s,
        &control(),
        PEER,
        &["connect 3 5.6.7.8:50000>8.8.8.8:1000"],
    );
}

#[test]
fn a_data_connection_is_a_connection_without_an_allocation() {
    let mut s = allocated();
    connected(&mut s);
    let by_udp = client(1001, "alice", "wonderland");
    bind(&mut s, &by_udp, 1, &["1001 ConnectionBind 400"]);
    bind(&mut s, &control(), 1, &["1000 ConnectionBind 400"]);
    s.expect(&data(), CONNECTION_BIND, &[], &["1001 ConnectionBind 400"]);
}

#[test]
fn a_peer_that_does_not_accept_is_447_at_once_or_after_30_s() {
    let mut s = allocated();
    connect(
        &mut s,
        &control(),
        PEER,
        &["connect 1 5.6.7.8:50000>8.8.8.8:1000"],
    );
    connect(&mut s, &control(), PEER, &["1000 Connect 446"]);
    s.server.peer_connected(s.now, ConnectionId(1), false);
    s.assert_commands(&["1000 Connect 447"]);
    connect(
        &mut s,
        &control(),
        PEER,
        &["connect 2 5.6.7.8:50000>8.8.8.8:1000"],
    );
    s.advance(29);
    s.assert_commands(&[]);
    s.advance(1);
    s.assert_commands(&["1000 Connect 447", "close 2"]);
    // The driver was about to say so.
    s.server.peer_connected(s.now, ConnectionId(2), true);
    s.assert_commands(&["close 2"]);
}

#[test]
fn a_connection_nobody_binds_is_closed_after_30_s() {
    let mut s = allocated();
    connected(&mut s);
    s.advance(30);
    s.assert_commands(&["close 1"]);
    assert_eq!(
        s.server.bind_connection(ConnectionId(1), "alice"),
        Err(Unbindable::Unknown)
    );
}

#[test]
fn peers_with_a_permission_may_connect_and_others_not() {
    let mut s = allocated();
    let arrive = |s: &mut TestServer, peer| s.server.peer_arrived(s.now, addr(RELAYED), addr(peer));
    assert_eq!(arrive(&mut s, PEER), None);
    s.expect_permission(&control(), &[PEER], &["1000 CreatePermission ok"]);
    assert_eq!(arrive(&mut s, "8.8.8.8:7"), Some(ConnectionId(1)));
    s.assert_commands(&["1000 ConnectionAttempt connection 1 ok unsigned"]);
    assert_eq!(arrive(&mut s, OTHER), None);
    s.advance(300);
    s.assert_commands(&["close 1"]);
    assert_eq!(arrive(&mut s, "8.8.8.8:8"), None, "its permission is over");
}

#[test]
fn connections_end_with_their_allocation_and_are_as_few_as_channels() {
    let mut s = allocated();
    for port in 1..=3 {
        let opened = format!("connect {port} 5.6.7.8:50000>8.8.8.8:{port}");
        connect(&mut s, &control(), &format!("8.8.8.8:{port}"), &[&opened]);
    }
    connect(&mut s, &control(), "8.8.8.8:4", &["1000 Connect 508"]);
    s.server.peer_connected(s.now, ConnectionId(2), true);
    s.assert_commands(&["1000 Connect connection 2 ok"]);
    s.server.bind_connection(ConnectionId(2), "alice").unwrap();
    s.expect_refresh(
        &control(),
        0,
        &[
            "close 1",
            "close 2",
            "close 3",
            "release 5.6.7.8:50000",
            "1000 Refresh ok lifetime 0",
        ],
    );
    assert_eq!(
        (s.server.connections.len(), s.server.connections.timers()),
        (0, 0)
    );
    assert_eq!(s.server.connections.indexed(), [0; 3]);
}

#[test]
fn the_connections_of_all_allocations_of_a_user_are_as_few_as_those() {
    let mut few = limits();
    few.allocations_per_user = 2;
    let mut s = TestServer::with(few, |_| {});
    let other = data();
    s.allocate_with(&control(), &[&TCP()]);
    let relayed = s.allocate_with(&other, &[&TCP()]);
    for (client, opened) in [
        (control(), "connect 1 5.6.7.8:50000>8.8.8.8:1000".to_owned()),
        (other.clone(), format!("connect 2 {relayed}>8.8.8.8:1000")),
    ] {
        connect(&mut s, &client, PEER, &[&opened]);
    }
    connect(&mut s, &other, "8.8.8.8:4", &["1001 Connect 508"]);
    s.server.peer_gone(ConnectionId(1));
    assert_eq!(s.server.connections.indexed(), [1; 3]);
    let opened = format!("connect 3 {relayed}>8.8.8.8:4");
    connect(&mut s, &other, "8.8.8.8:4", &[&opened]);
}

#[test]
fn connecting_is_judged_as_relaying_is() {
    let mut s = allocated();
    connect(&mut s, &control(), "10.0.0.1:80", &["1000 Connect 403"]);
    connect(&mut s, &control(), "[2a00::99]:7", &["1000 Connect 443"]);
    s.expect(&control(), CONNECT, &[], &["1000 Connect 400"]);
    connect(&mut s, &data(), PEER, &["1001 Connect 437"]);
    let mut s = TestServer::new();
    s.allocate(&control());
    connect(&mut s, &control(), PEER, &["1000 Connect 400"]);
}
