//! UDP forwards: every reason to get no forward, and no session.

use relay_userspace::relay::{ForwardError, Relay, StartError};

use crate::endpoint::Endpoint;
use crate::forwards::forwarder;
use crate::setup::{addr, config, eventually, forward, metric, relay};

#[tokio::test]
async fn clients_outside_the_allow_list_get_nothing() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let mut strict = forward("video", destination.address());
    strict.allow = vec!["127.0.0.2/32".parse().expect("network")];
    let view = relay.forward_add(strict).await.expect("added");
    let (bad, good) = (Endpoint::new().await, Endpoint::at("127.0.0.2:0").await);
    bad.send(view.listen, b"bad").await;
    eventually("it is refused", async || {
        relay.forwards().await[0].refused == 1
    })
    .await;
    good.send(view.listen, b"good").await;
    assert_eq!(destination.receive().await.0, b"good");
    assert_eq!(metric(&relay, "forward_refused", "allow_list").await, 1);
    relay.shutdown().await;
}

#[tokio::test]
async fn max_sessions_holds_over_all_workers() {
    let mut config = config();
    config.workers = 4;
    let (relay, destination) = (relay(config).await, Endpoint::new().await);
    let mut small = forward("video", destination.address());
    small.max_sessions = 3;
    let view = relay.forward_add(small).await.expect("added");
    let mut clients = Vec::new();
    for _ in 0..12 {
        let client = Endpoint::new().await;
        client.send(view.listen, b"hello").await;
        clients.push(client);
    }
    eventually("the others are refused", async || {
        relay.forwards().await[0].refused == 9
    })
    .await;
    assert_eq!(relay.forwards().await[0].sessions, 3);
    assert_eq!(relay.sessions().await.len(), 3);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_forward_that_cannot_be_is_refused_with_its_reason() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    let there = forward("video", destination.address());
    relay.forward_add(there.clone()).await.expect("added");
    let error = relay.forward_add(there).await.expect_err("twice");
    assert!(matches!(error, ForwardError::NameTaken { .. }), "{error}");

    let private = forward("private", addr("10.1.2.3:5000"));
    let error = relay.forward_add(private).await.expect_err("not allowed");
    assert!(matches!(error, ForwardError::Denied { .. }), "{error}");
    assert!(error.to_string().contains("peers.allow"), "{error}");

    let mut taken = forward("taken", destination.address());
    taken.listen = destination.address();
    let error = relay.forward_add(taken).await.expect_err("not free");
    assert!(matches!(error, ForwardError::Listen { .. }), "{error}");
    assert!(error.to_string().contains("another program"), "{error}");

    let mut nameless = forward("nameless", destination.address());
    nameless.to.host = "name.invalid".to_string();
    let error = relay.forward_add(nameless).await.expect_err("no such name");
    assert!(error.is_about_names(), "{error}");
    relay.shutdown().await;
}

/// One datagram would run in circles until no session is left, and the allow list of the second would see only us.
#[tokio::test]
async fn a_forward_leads_neither_to_itself_nor_to_another_while_that_exists() {
    let (relay, destination) = (forwarder().await, Endpoint::new().await);
    // Free: it was ours a moment ago.
    let free = Endpoint::new().await.address();
    let mut circle = forward("circle", free);
    circle.listen = free;
    let error = relay.forward_add(circle).await.expect_err("a circle");
    assert!(error.to_string().contains("own listener"), "{error}");

    let video = forward("video", destination.address());
    let view = relay.forward_add(video).await.expect("added");
    let second = forward("second", view.listen);
    let error = relay
        .forward_add(second.clone())
        .await
        .expect_err("a chain");
    assert!(error.to_string().contains("own listener"), "{error}");

    assert!(relay.forward_remove("video").await);
    relay
        .forward_add(second)
        .await
        .expect("nobody's address now");
    relay.shutdown().await;
}

#[tokio::test]
async fn an_exhausted_pool_refuses_and_recovers() {
    let destination = Endpoint::new().await;
    let mut config = config();
    // The one port is free: it was ours a moment ago.
    let port = Endpoint::new().await.address().port();
    config.relay.ports = port..=port;
    let relay = relay(config).await;
    let view = relay
        .forward_add(forward("video", destination.address()))
        .await
        .expect("added");
    let (a, b) = (Endpoint::new().await, Endpoint::new().await);
    a.send(view.listen, b"from a").await;
    assert_eq!(destination.receive().await.1.port(), port);
    b.send(view.listen, b"from b").await;
    eventually("b is refused", async || {
        metric(&relay, "forward_refused", "no_port").await == 1
    })
    .await;
    assert!(relay.kill(relay.sessions().await[0].id).await);
    eventually("the port is free", async || {
        metric(&relay, "ports_in_use", "").await == 0
    })
    .await;
    b.send(view.listen, b"from b").await;
    assert_eq!(destination.receive().await.0, b"from b");
    relay.shutdown().await;
}

#[tokio::test]
async fn configured_forwards_run_from_the_start_and_a_name_may_come_later() {
    let destination = Endpoint::new().await;
    let mut with_forwards = config();
    let mut nameless = forward("nameless", destination.address());
    nameless.to.host = "name.invalid".to_string();
    with_forwards.forwards = vec![forward("video", destination.address()), nameless];
    let relay = relay(with_forwards).await;
    let views = relay.forwards().await;
    assert_eq!(views.len(), 2);
    assert!(views[0].fault.is_some() && views[0].resolved.is_empty());
    let client = Endpoint::new().await;
    client.send(views[0].listen, b"nobody").await;
    client.send(views[1].listen, b"hello").await;
    assert_eq!(destination.receive().await.0, b"hello");
    relay.shutdown().await;

    let mut denied = config();
    denied.forwards = vec![forward("private", addr("10.1.2.3:5000"))];
    let error = Relay::start(denied).await.err().expect("refused");
    assert!(matches!(error, StartError::Forward { .. }), "{error}");
}
