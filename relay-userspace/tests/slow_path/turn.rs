//! TURN in userspace, from first contact to hairpin.

use relay_userspace::relay::{Relay, StartError};

use crate::client::{Refused, TurnClient};
use crate::endpoint::Endpoint;
use crate::setup::{config, eventually, metric, relay};

const CHANNEL: u16 = 0x4001;

async fn client(relay: &Relay) -> TurnClient {
    TurnClient::new(relay.status().listen[0]).await
}

#[tokio::test]
async fn channel_data_goes_both_ways() {
    let (relay, peer) = (relay(config()).await, Endpoint::new().await);
    let mut client = client(&relay).await;
    let relayed = client.allocate().await.expect("allocated").relayed;
    client.bind(CHANNEL, peer.address()).await.expect("bound");
    client.send_channel(CHANNEL, b"to the peer").await;
    assert_eq!(peer.receive().await, (b"to the peer".to_vec(), relayed));
    peer.send(relayed, b"to the client").await;
    let back = client.receive_channel().await;
    assert_eq!(back, (CHANNEL, b"to the client".to_vec()));

    let rows = relay.sessions().await;
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.kind.as_str(), row.owner.as_str()), ("turn", "alice"));
    assert_eq!(row.client, client.endpoint.address());
    assert_eq!((row.relayed, row.peer), (relayed, Some(peer.address())));
    assert_eq!(row.channel, Some(CHANNEL));
    assert_eq!(row.runs_in, "userspace");
    assert_eq!(row.userspace_to_peer.packets, 1);
    assert_eq!(row.userspace_to_client.bytes, 13);
    let status = relay.status();
    assert_eq!((status.allocations, status.sessions), (1, 1));
    assert_eq!(metric(&relay, "userspace_packets", "to_peer").await, 1);
    relay.shutdown().await;
}

#[tokio::test]
async fn indications_go_both_ways_without_a_channel() {
    let (relay, peer) = (relay(config()).await, Endpoint::new().await);
    let mut client = client(&relay).await;
    let relayed = client.allocate().await.expect("allocated").relayed;
    client.permit(peer.address()).await.expect("permitted");
    client.send(peer.address(), b"to the peer").await;
    assert_eq!(peer.receive().await, (b"to the peer".to_vec(), relayed));
    peer.send(relayed, b"to the client").await;
    let back = client.receive_indication().await;
    assert_eq!(back, (peer.address(), b"to the client".to_vec()));
    let row = &relay.sessions().await[0];
    assert_eq!((row.peer, row.channel), (None, None));
    assert!(
        row.reason
            .as_deref()
            .is_some_and(|why| why.starts_with("no channel bound"))
    );
    relay.shutdown().await;
}

#[tokio::test]
async fn ipv6_is_relayed_from_the_address_a_client_contacted() {
    if std::net::UdpSocket::bind("[::1]:0").is_err() {
        eprintln!("skipped: no IPv6 loopback here");
        return;
    }
    let mut config = config();
    config.listen.udp = vec!["[::]:0".parse().expect("address")];
    config.peers.allow = vec!["::1/128".parse().expect("network")];
    let relay = relay(config).await;
    let port = relay.status().listen[0].port();
    let server = format!("[::1]:{port}").parse().expect("address");
    let peer = Endpoint::at("[::1]:0").await;
    let mut client = TurnClient::at("[::1]:0", server).await;
    let relayed = client.allocate_v6().await.expect("allocated").relayed;
    assert_eq!(relayed.ip(), peer.address().ip());
    client.bind(CHANNEL, peer.address()).await.expect("bound");
    client.send_channel(CHANNEL, b"to the peer").await;
    assert_eq!(peer.receive().await, (b"to the peer".to_vec(), relayed));
    peer.send(relayed, b"to the client").await;
    let back = client.receive_channel().await;
    assert_eq!(back, (CHANNEL, b"to the client".to_vec()));
    relay.shutdown().await;
}

#[tokio::test]
async fn a_peer_without_a_permission_is_not_relayed() {
    let (relay, peer, stranger) = (
        relay(config()).await,
        Endpoint::new().await,
        Endpoint::at("127.0.0.3:0").await,
    );
    let mut client = client(&relay).await;
    let relayed = client.allocate().await.expect("allocated").relayed;
    client.permit(peer.address()).await.expect("permitted");
    stranger.send(relayed, b"let me in").await;
    peer.send(relayed, b"hello").await;
    assert_eq!(client.receive_indication().await.1, b"hello");
    assert!(client.endpoint.is_empty());
    assert_eq!(
        metric(&relay, "userspace_dropped", "not_permitted").await,
        1
    );
    relay.shutdown().await;
}

#[tokio::test]
async fn two_clients_of_one_relay_reach_each_other_by_their_relayed_addresses() {
    let mut config = config();
    config.workers = 4;
    let relay = relay(config).await;
    let (mut a, mut b) = (client(&relay).await, client(&relay).await);
    let relayed_a = a.allocate().await.expect("allocated").relayed;
    let relayed_b = b.allocate().await.expect("allocated").relayed;
    a.bind(CHANNEL, relayed_b).await.expect("bound");
    b.bind(CHANNEL + 1, relayed_a).await.expect("bound");
    a.send_channel(CHANNEL, b"from a").await;
    assert_eq!(b.receive_channel().await, (CHANNEL + 1, b"from a".to_vec()));
    b.send_channel(CHANNEL + 1, b"from b").await;
    assert_eq!(a.receive_channel().await, (CHANNEL, b"from b".to_vec()));
    relay.shutdown().await;
}

#[tokio::test]
async fn many_clients_on_many_workers_have_ids_and_ports_of_their_own() {
    let mut config = config();
    config.workers = 4;
    let (relay, peer) = (relay(config).await, Endpoint::new().await);
    let mut clients = Vec::new();
    for _ in 0..24 {
        let mut client = client(&relay).await;
        let relayed = client.allocate().await.expect("allocated").relayed;
        client.bind(CHANNEL, peer.address()).await.expect("bound");
        client.send_channel(CHANNEL, b"hello").await;
        assert_eq!(peer.receive().await, (b"hello".to_vec(), relayed));
        clients.push((client, relayed));
    }
    let rows = relay.sessions().await;
    let unique = |mut values: Vec<u64>| {
        values.sort_unstable();
        values.dedup();
        values.len()
    };
    assert_eq!(rows.len(), 24);
    assert_eq!(unique(rows.iter().map(|row| row.id).collect()), 24);
    assert_eq!(
        unique(rows.iter().map(|row| row.relayed.port().into()).collect()),
        24
    );
    for (client, relayed) in &clients {
        peer.send(*relayed, &relayed.port().to_be_bytes()).await;
        let expected = relayed.port().to_be_bytes().to_vec();
        assert_eq!(client.receive_channel().await, (CHANNEL, expected));
    }
    relay.shutdown().await;
}

#[tokio::test]
async fn an_even_port_and_its_reserved_neighbour() {
    let relay = relay(config()).await;
    let (mut first, mut second) = (client(&relay).await, client(&relay).await);
    let even = first.allocate_pair().await.expect("allocated");
    assert_eq!(even.relayed.port() % 2, 0);
    let token = even.reservation.expect("a token");
    let odd = second.allocate_reserved(token).await.expect("allocated");
    assert_eq!(odd.relayed.port(), even.relayed.port() + 1);
    let mut third = client(&relay).await;
    assert_eq!(
        third.allocate_reserved(token).await.err(),
        Some(Refused(508))
    );
    relay.shutdown().await;
}

#[tokio::test]
async fn a_wrong_password_allocates_nothing() {
    let relay = relay(config()).await;
    let mut client = TurnClient::with_password(relay.status().listen[0], "looking-glass").await;
    assert_eq!(client.allocate().await.err(), Some(Refused(401)));
    assert_eq!(relay.status().allocations, 0);
    assert_eq!(metric(&relay, "ports_in_use", "").await, 0);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_denied_peer_is_refused_and_the_rule_counted() {
    let relay = relay(config()).await;
    let mut client = client(&relay).await;
    client.allocate().await.expect("allocated");
    let private = "10.1.2.3:5000".parse().expect("address");
    assert_eq!(
        client.bind(CHANNEL, private).await.err(),
        Some(Refused(403))
    );
    assert_eq!(metric(&relay, "turn_refused_peers", "").await, 1);
    let own_listener = relay.status().listen[0];
    assert_eq!(
        client.bind(CHANNEL, own_listener).await.err(),
        Some(Refused(403))
    );
    relay.shutdown().await;
}

#[tokio::test]
async fn another_program_on_a_port_of_the_relay_range_is_no_peer() {
    let mut config = config();
    config.peers.allow.clear();
    config.relay.addresses = vec!["127.0.0.1".parse().expect("address")];
    let relay = relay(config).await;
    let (mut a, mut b) = (client(&relay).await, client(&relay).await);
    a.allocate().await.expect("allocated");
    let relayed_b = b.allocate().await.expect("allocated").relayed;
    a.bind(CHANNEL, relayed_b).await.expect("bound");
    let program = Endpoint::new().await.address();
    assert_eq!(a.bind(CHANNEL + 1, program).await.err(), Some(Refused(403)));
    relay.shutdown().await;
}

#[tokio::test]
async fn no_free_port_is_508_until_one_is_given_back() {
    let mut config = config();
    let port = Endpoint::new().await.address().port();
    config.relay.ports = port..=port;
    let relay = relay(config).await;
    let (mut first, mut second) = (client(&relay).await, client(&relay).await);
    let relayed = first.allocate().await.expect("allocated").relayed;
    assert_eq!(relayed.port(), port);
    assert_eq!(second.allocate().await.err(), Some(Refused(508)));
    assert_eq!(metric(&relay, "relay_bind_failures", "").await, 1);
    first.refresh(0).await.expect("deleted");
    eventually("the port is free", async || {
        metric(&relay, "ports_in_use", "").await == 0
    })
    .await;
    assert_eq!(
        second.allocate().await.expect("allocated").relayed.port(),
        port
    );
    relay.shutdown().await;
}

#[tokio::test]
async fn killing_a_channel_ends_its_allocation() {
    let (relay, peer) = (relay(config()).await, Endpoint::new().await);
    let mut client = client(&relay).await;
    client.allocate().await.expect("allocated");
    client.bind(CHANNEL, peer.address()).await.expect("bound");
    let id = relay.sessions().await[0].id;
    assert!(relay.kill(id).await);
    assert!(!relay.kill(id).await);
    assert!(relay.sessions().await.is_empty());
    assert_eq!(relay.status().allocations, 0);
    assert_eq!(client.refresh(600).await.err(), Some(Refused(437)));
    relay.shutdown().await;
}

#[tokio::test]
async fn sends_that_fail_are_counted_and_harm_nobody() {
    let (relay, peer) = (relay(config()).await, Endpoint::new().await);
    let mut client = client(&relay).await;
    client.allocate().await.expect("allocated");
    // 127.255.255.255 is the broadcast address of loopback: the kernel refuses to send there (EACCES).
    let broadcast = "127.255.255.255:9".parse().expect("address");
    client.permit(broadcast).await.expect("permitted");
    client.permit(peer.address()).await.expect("permitted");
    client.send(broadcast, b"nobody").await;
    client.send(peer.address(), b"somebody").await;
    assert_eq!(peer.receive().await.0, b"somebody");
    assert_eq!(metric(&relay, "send_errors", "not_permitted").await, 1);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_named_and_nothing_is_left_running() {
    let first = relay(config()).await;
    let mut second = config();
    second.listen.udp = first.status().listen;
    let error = Relay::start(second).await.err().expect("taken");
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
    let port = first.status().listen[0].port().to_string();
    assert!(error.to_string().contains(&port), "{error}");
    first.shutdown().await;
}

#[tokio::test]
async fn shutdown_frees_every_socket() {
    let relay = relay(config()).await;
    let listen = relay.status().listen[0];
    let mut client = client(&relay).await;
    let relayed = client.allocate().await.expect("allocated").relayed;
    relay.shutdown().await;
    std::net::UdpSocket::bind(listen).expect("the listener is closed");
    std::net::UdpSocket::bind(relayed).expect("the relay port is closed");
}
