//! The /check page's own end: its files and its echo on a running relay, and where neither is.

use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt, StreamExt};
use relay_userspace::relay::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::{ask, connect, say};
use crate::setup::{DEADLINE, config, relay};

const ECHO: &str = "wss://relay.test/v1/check/echo";

/// What comes back for these, until the relay closes.
async fn echoed(relay: &Relay, messages: Vec<Message>) -> Vec<Message> {
    let (mut socket, _) = client_async(ECHO, connect(relay).await).await.unwrap();
    let mut back = Vec::new();
    for message in messages {
        if socket.send(message).await.is_err() {
            break;
        }
        match tokio::time::timeout(DEADLINE, socket.next()).await.unwrap() {
            Some(Ok(message)) if !message.is_close() => back.push(message),
            _ => break,
        }
    }
    back
}

#[tokio::test]
async fn the_echo_says_what_it_is_told_so_often_and_so_long() {
    let relay = relay(config()).await;
    let short = vec![Message::text("hello"), Message::binary(vec![7; 1200])];
    assert_eq!(echoed(&relay, short.clone()).await, short);
    assert!(
        echoed(&relay, vec![Message::binary(vec![7; 2000])])
            .await
            .is_empty()
    );
    let many = vec![Message::text("again"); 200];
    assert_eq!(echoed(&relay, many).await.len(), 100);
    let old = "GET /v1/check/echo HTTP/1.1\r\nHost: relay.test\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
               Sec-WebSocket-Version: 8\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
    let none = old.replace("Upgrade: websocket\r\n", "");
    for other in [old, &none] {
        let answer = say(&relay, other).await.unwrap();
        assert_eq!(answer.status, 426, "{answer:?}");
        assert_eq!(answer.header("sec-websocket-version"), Some("13"));
    }
    relay.shutdown().await;
}

#[tokio::test]
async fn a_network_that_opens_too_many_echoes_is_told_to_wait() {
    let relay = relay(config()).await;
    let mut open = Vec::new();
    let refused = loop {
        assert!(open.len() < 1000, "nobody is refused");
        // At once, so that the slowest machine is faster than five a second.
        let some = (0..20).map(|_| async { client_async(ECHO, connect(&relay).await).await });
        let (opened, refused): (Vec<_>, Vec<_>) =
            join_all(some).await.into_iter().partition(Result::is_ok);
        open.extend(opened);
        match refused.into_iter().find_map(Result::err) {
            Some(Error::Http(answer)) => break answer,
            Some(other) => panic!("{other}"),
            None => {}
        }
    };
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    relay.shutdown().await;
}

/// None of these is ever a message: pieces of one that has no end, and pings. Masked with nothing.
#[tokio::test]
async fn an_echo_that_is_fed_what_is_no_message_ends_before_its_time() {
    const BEFORE: Duration = Duration::from_secs(10);
    let relay = relay(config()).await;
    let (first, piece, ping) = (
        [1, 0x80, 0, 0, 0, 0],
        [0, 0x80, 0, 0, 0, 0],
        [0x89, 0x80, 0, 0, 0, 0],
    );
    for again in [&piece[..], &ping] {
        let mut stream = connect(&relay).await;
        let ask = "GET /v1/check/echo HTTP/1.1\r\nHost: relay.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
        stream.write_all(ask.as_bytes()).await.unwrap();
        let (mut from, mut to) = tokio::io::split(stream);
        let flood = [&first[..], &again.repeat(100_000)].concat();
        // It may be cut off in the midst of it.
        let say = async { drop(to.write_all(&flood).await) };
        let mut heard = Vec::new();
        let hear = tokio::time::timeout(BEFORE, from.read_to_end(&mut heard));
        let ended = tokio::join!(say, hear).1;
        assert!(heard.starts_with(b"HTTP/1.1 101 "));
        assert!(ended.is_ok(), "open after {BEFORE:?}");
    }
    relay.shutdown().await;
}

#[tokio::test]
async fn where_it_is_switched_off_there_is_neither_page_nor_echo() {
    for (check, page, echo) in [(true, 200, 426), (false, 404, 404)] {
        let mut config = config();
        config.api.check = check;
        let relay = relay(config).await;
        let answer = ask(&relay, "GET /check/", "").await;
        assert_eq!(answer.status, page);
        let policy = answer.header("content-security-policy");
        assert_eq!(
            policy.is_some_and(|policy| policy.contains("default-src 'none'")),
            check
        );
        assert_eq!(ask(&relay, "GET /v1/check/echo", "").await.status, echo);
        relay.shutdown().await;
    }
}
