//! UDP forwards: one relay port per client, both ways, until idle, killed or removed.

use std::time::Duration;

use relay_userspace::relay::Relay;

use crate::endpoint::Endpoint;
use crate::setup::{addr, config, eventually, forward, metric, relay};

/// A relay that only forwards.
pub async fn forwarder() -> Relay {
    let mut config = config();
    config.listen.udp.clear();
    relay(config).await
}

#[tokio::test]
async fn two_clients_have_their_own_relay_ports_both_ways() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let view = relay
        .forward_add(forward("video", destination.address()))
        .await
        .expect("added");
    let (a, b) = (Endpoint::new().await, Endpoint::new().await);
    a.send(view.listen, b"from a").await;
    let (bytes, port_of_a) = destination.receive().await;
    assert_eq!(bytes, b"from a");
    b.send(view.listen, b"from b").await;
    let (bytes, port_of_b) = destination.receive().await;
    assert_eq!(bytes, b"from b");
    assert_ne!(port_of_a, port_of_b);
    destination.send(port_of_b, b"to b").await;
    destination.send(port_of_a, b"to a").await;
    assert_eq!(a.receive().await, (b"to a".to_vec(), view.listen));
    assert_eq!(b.receive().await, (b"to b".to_vec(), view.listen));

    let rows = relay.sessions().await;
    assert_eq!(rows.len(), 2);
    let row = rows
        .iter()
        .find(|row| row.client == a.address())
        .expect("a's session");
    assert_eq!(
        (row.kind.as_str(), row.owner.as_str()),
        ("forward", "video")
    );
    assert_eq!((row.server, row.relayed), (view.listen, port_of_a));
    assert_eq!(row.peer, Some(destination.address()));
    assert_eq!(
        (row.userspace_to_peer.packets, row.userspace_to_peer.bytes),
        (1, 6)
    );
    assert_eq!(
        (
            row.userspace_to_client.packets,
            row.userspace_to_client.bytes
        ),
        (1, 4)
    );
    assert_eq!(row.runs_in, "userspace");
    assert!(row.reason.is_some());
    assert_eq!(relay.status().userspace.packets, 4);
    assert_eq!(relay.status().sessions, 2);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_wildcard_listener_answers_from_the_address_the_client_contacted() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let mut wildcard = forward("any", destination.address());
    wildcard.listen = addr("0.0.0.0:0");
    let port = relay
        .forward_add(wildcard)
        .await
        .expect("added")
        .listen
        .port();
    let client = Endpoint::new().await;
    for contacted in ["127.0.0.1", "127.0.0.2"] {
        let contacted = addr(&format!("{contacted}:{port}"));
        client.send(contacted, b"hello").await;
        let (_, relayed) = destination.receive().await;
        destination.send(relayed, b"welcome").await;
        assert_eq!(client.receive().await, (b"welcome".to_vec(), contacted));
    }
    relay.shutdown().await;
}

#[tokio::test]
async fn large_and_empty_datagrams_pass_and_a_burst_keeps_its_order() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let view = relay
        .forward_add(forward("video", destination.address()))
        .await
        .expect("added");
    let client = Endpoint::new().await;
    for size in [60_000, 0, 1500, 65_507] {
        client.send(view.listen, &vec![7; size]).await;
        assert_eq!(destination.receive().await.0, vec![7; size]);
    }
    for number in 0..100u32 {
        client
            .send(
                view.listen,
                &number.to_be_bytes().repeat(1 + number as usize % 3),
            )
            .await;
    }
    for number in 0..100u32 {
        let expected = number.to_be_bytes().repeat(1 + number as usize % 3);
        assert_eq!(destination.receive().await.0, expected);
    }
    relay.shutdown().await;
}

#[tokio::test]
async fn only_the_destination_is_heard() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let view = relay
        .forward_add(forward("video", destination.address()))
        .await
        .expect("added");
    let (client, stranger) = (Endpoint::new().await, Endpoint::new().await);
    client.send(view.listen, b"hello").await;
    let (_, relayed) = destination.receive().await;
    stranger.send(relayed, b"let me in").await;
    destination.send(relayed, b"welcome").await;
    assert_eq!(client.receive().await.0, b"welcome");
    assert!(client.is_empty());
    let dropped = metric(&relay, "userspace_dropped", "not_from_destination").await;
    assert_eq!(dropped, 1);
    relay.shutdown().await;
}

#[tokio::test]
async fn an_idle_session_ends_and_gives_its_port_back() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let mut short = forward("video", destination.address());
    short.idle = Duration::from_millis(200);
    let view = relay.forward_add(short).await.expect("added");
    let client = Endpoint::new().await;
    client.send(view.listen, b"hello").await;
    destination.receive().await;
    eventually("the session ends", async || {
        relay.sessions().await.is_empty()
    })
    .await;
    assert_eq!(relay.forwards().await[0].sessions, 0);
    eventually("its port is free", async || {
        metric(&relay, "ports_in_use", "").await == 0
    })
    .await;
    client.send(view.listen, b"again").await;
    assert_eq!(destination.receive().await.0, b"again");
    relay.shutdown().await;
}

#[tokio::test]
async fn a_name_is_resolved_and_reached() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let mut named = forward("video", destination.address());
    named.to.host = "localhost".to_string();
    let view = relay.forward_add(named).await.expect("added");
    assert!(view.resolved.contains(&destination.address()));
    assert_eq!(view.fault, None);
    let client = Endpoint::new().await;
    client.send(view.listen, b"hello").await;
    assert_eq!(destination.receive().await.0, b"hello");
    relay.shutdown().await;
}

#[tokio::test]
async fn a_removed_forward_relays_nothing_and_its_name_is_free() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let view = relay
        .forward_add(forward("video", destination.address()))
        .await
        .expect("added");
    let client = Endpoint::new().await;
    client.send(view.listen, b"hello").await;
    destination.receive().await;
    assert!(relay.forward_remove("video").await);
    assert!(!relay.forward_remove("video").await);
    assert!(relay.sessions().await.is_empty());
    assert_eq!(relay.status().forwards, 0);
    let again = relay
        .forward_add(forward("video", destination.address()))
        .await
        .expect("added again");
    client.send(again.listen, b"hello again").await;
    assert_eq!(destination.receive().await.0, b"hello again");
    relay.shutdown().await;
}

#[tokio::test]
async fn a_killed_session_ends_and_the_next_packet_begins_another() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let view = relay
        .forward_add(forward("video", destination.address()))
        .await
        .expect("added");
    let client = Endpoint::new().await;
    client.send(view.listen, b"hello").await;
    destination.receive().await;
    let id = relay.sessions().await[0].id;
    assert!(relay.kill(id).await);
    assert!(!relay.kill(id).await);
    client.send(view.listen, b"again").await;
    destination.receive().await;
    assert_ne!(relay.sessions().await[0].id, id);
    relay.shutdown().await;
}

#[tokio::test]
async fn an_unreachable_destination_harms_nobody() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let gone = Endpoint::new().await.address();
    let dead = relay
        .forward_add(forward("dead", gone))
        .await
        .expect("added");
    let live = relay
        .forward_add(forward("live", destination.address()))
        .await
        .expect("added");
    let client = Endpoint::new().await;
    for _ in 0..10 {
        client.send(dead.listen, b"anyone?").await;
    }
    client.send(live.listen, b"hello").await;
    assert_eq!(destination.receive().await.0, b"hello");
    relay.shutdown().await;
}
