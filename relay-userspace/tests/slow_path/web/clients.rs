//! Clients that ask for too much, too slowly, or go away in the middle.

use std::future::pending;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Echo, Raw, ask, connect, rest, route, say, serving};
use crate::setup::{config, eventually, metric, relay};

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_by_its_length_and_by_what_comes() {
    let echo = Echo::default();
    let mut small = route("/", &[echo.start().await]);
    small.max_body_bytes = 1000;
    let relay = serving(vec![small]).await;
    let body = "x".repeat(1001);
    let answer = ask(&relay, "POST /\r\nContent-Length: 1001", &body).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    assert!(echo.asked().is_empty());
    let chunks = format!("3e9\r\n{body}\r\n0\r\n\r\n");
    let answer = ask(&relay, "POST /\r\nTransfer-Encoding: chunked", &chunks).await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (413, "body_too_large")
    );
    assert!(echo.asked().iter().all(|one| one.ends_with("broken")));
    let answer = ask(&relay, "POST /\r\nContent-Length: 1000", &body[1..]).await;
    assert_eq!(answer.status, 200);
    relay.shutdown().await;
}

#[tokio::test]
async fn headers_that_are_too_large_are_refused() {
    let echo = Echo::default();
    let mut config = config();
    config.signaling.max_header_bytes = 8 << 10;
    config.signaling.routes = vec![route("/", &[echo.start().await])];
    let relay = relay(config).await;
    let field = format!("X-Large: {}", "x".repeat(9 << 10));
    let request = format!("GET / HTTP/1.1\r\nHost: relay.test\r\n{field}\r\n\r\n");
    assert_eq!(say(&relay, &request).await.unwrap().status, 431);
    let fields = "X-Many: 1\r\n".repeat(200);
    let request = format!("GET / HTTP/1.1\r\nHost: relay.test\r\n{fields}\r\n");
    assert_eq!(say(&relay, &request).await.unwrap().status, 431);
    assert!(echo.asked().is_empty());
    relay.shutdown().await;
}

#[tokio::test]
async fn a_head_that_does_not_end_and_an_idle_connection_are_closed() {
    let mut config = config();
    config.signaling.keep_alive = Duration::from_millis(100);
    let relay = relay(config).await;
    for begun in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: relay.test\r\nX-"] {
        let mut stream = connect(&relay).await;
        stream.write_all(begun.as_bytes()).await.unwrap();
        assert!(rest(&mut stream).await.is_none(), "{begun:?}");
    }
    eventually("none is left", async || {
        metric(&relay, "http_connections", "").await == 0
    })
    .await;
    relay.shutdown().await;
}

#[tokio::test]
async fn a_body_that_stops_coming_is_the_clients_fault() {
    let mut slow = route("/", &[Echo::default().start().await]);
    slow.idle_timeout = Duration::from_millis(100);
    slow.response_timeout = Duration::from_millis(10);
    slow.connect_timeout = Duration::from_millis(10);
    let relay = serving(vec![slow]).await;
    let answer = ask(&relay, "POST /\r\nContent-Length: 10", "half").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (408, "body_too_slow")
    );
    relay.shutdown().await;
}

#[tokio::test]
async fn more_requests_than_a_route_may_have_are_told_to_come_again() {
    let silent = Raw::default().start(async |_stream| pending().await).await;
    let mut narrow = route("/", &[silent]);
    narrow.max_concurrent = 1;
    let relay = serving(vec![narrow]).await;
    let mut first = connect(&relay).await;
    let request = b"GET / HTTP/1.1\r\nHost: relay.test\r\n\r\n";
    first.write_all(request).await.unwrap();
    let under_way = async || metric(&relay, "signaling_requests_under_way", "").await;
    eventually("the first is under way", async || under_way().await == 1).await;
    let answer = ask(&relay, "GET /", "").await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "route_full"));
    assert_eq!(answer.header("retry-after"), Some("1"));
    drop(first);
    eventually("its place is free", async || under_way().await == 0).await;
    relay.shutdown().await;
}

#[tokio::test]
async fn one_network_takes_a_quarter_of_a_route_and_leaves_the_rest_to_others() {
    let silent = Raw::default().start(async |_stream| pending().await).await;
    let mut config = config();
    config.signaling.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    let mut narrow = route("/", &[silent]);
    narrow.max_concurrent = 8;
    config.signaling.routes = vec![narrow];
    let relay = relay(config).await;
    let request = |client: &str| {
        format!(
            "GET / HTTP/1.1\r\nHost: relay.test\r\nX-Forwarded-For: {client}\r\nConnection: close\r\n\r\n"
        )
    };
    let mut held = Vec::new();
    for (client, count) in [("192.0.2.1", 1), ("192.0.2.200", 2), ("198.51.100.1", 3)] {
        let mut stream = connect(&relay).await;
        stream.write_all(request(client).as_bytes()).await.unwrap();
        eventually("one more is under way", async || {
            metric(&relay, "signaling_requests_under_way", "").await == count
        })
        .await;
        held.push(stream);
    }
    let answer = say(&relay, &request("192.0.2.7")).await.unwrap();
    assert_eq!((answer.status, answer.code().as_str()), (503, "route_full"));
    drop(held);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_client_that_goes_away_or_closes_its_half_frees_the_origin() {
    for half in [true, false] {
        let origin = Raw::default();
        let (gone, mut told) = tokio::sync::mpsc::unbounded_channel();
        let address = origin
            .start(move |mut stream: TcpStream| {
                let gone = gone.clone();
                async move {
                    let read = stream.read(&mut [0]).await;
                    let _ = gone.send(matches!(read, Ok(0) | Err(_)));
                }
            })
            .await;
        let relay = serving(vec![route("/", &[address])]).await;
        let mut client = connect(&relay).await;
        let request = b"GET / HTTP/1.1\r\nHost: relay.test\r\n\r\n";
        client.write_all(request).await.unwrap();
        eventually("the origin is asked", async || origin.count() == 1).await;
        match half {
            true => client.shutdown().await.unwrap(),
            false => drop(client),
        }
        let told = tokio::time::timeout(crate::setup::DEADLINE, told.recv()).await;
        assert_eq!(told.unwrap(), Some(true));
        relay.shutdown().await;
    }
}

#[tokio::test]
async fn an_answer_that_stops_coming_is_broken_off() {
    let origin = Raw::default()
        .start(async |mut stream: TcpStream| {
            let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
            let _ = stream.write_all(answer).await;
            pending().await
        })
        .await;
    let mut slow = route("/", &[origin]);
    slow.idle_timeout = Duration::from_millis(100);
    let relay = serving(vec![slow]).await;
    let answer = ask(&relay, "GET /", "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "half"));
    eventually("it is counted", async || {
        metric(&relay, "signaling_faults", "").await == 1
            && metric(&relay, "signaling_faults", "origin_timeout").await == 1
    })
    .await;
    relay.shutdown().await;
}
