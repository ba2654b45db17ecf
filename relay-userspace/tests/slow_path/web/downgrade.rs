//! Requests of h2 that would be something else in HTTP/1.1: how long a body is, is said once there, and by the relay.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use super::frames::{DATA, END_STREAM, Frames, HEADERS, RST_STREAM, WIDEST, head};
use super::{route, serving};
use crate::setup::DEADLINE;

/// An origin that answers as soon as it has read a head, and leaves the body to whoever comes next on the connection: the
/// heads it read.
async fn hasty() -> (std::net::SocketAddr, UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address");
    let (tell, told) = unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                while let Ok(byte) = stream.read_u8().await {
                    seen.push(byte);
                    if seen.ends_with(b"\r\n\r\n") {
                        let _ = tell.send(String::from_utf8_lossy(&seen).into_owned());
                        seen.clear();
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
                        let _ = stream.write_all(answer).await;
                    }
                }
            });
        }
    });
    (address, told)
}

/// The lines about a body's length in what an origin was asked; `None`: it was asked nothing.
async fn lengths(
    method: &str,
    fields: &[(&str, &str)],
    body: Option<&[u8]>,
) -> Option<Vec<String>> {
    let (origin, mut told) = hasty().await;
    let relay = serving(vec![route("/", &[origin])]).await;
    let mut client = Frames::connect(&relay, WIDEST).await;
    let flags = if body.is_some() { 0 } else { END_STREAM };
    client.ask(1, flags, &head(method, "/", fields)).await;
    if let Some(body) = body.filter(|body| !body.is_empty()) {
        client.send(DATA, END_STREAM, 1, body).await;
    }
    // Or the end of the connection.
    let answer = timeout(DEADLINE, client.next_of(&[HEADERS, RST_STREAM]));
    answer.await.expect("in time");
    relay.shutdown().await;
    let seen = told.try_recv().ok()?.to_lowercase();
    let lines = seen.lines().map(str::to_owned);
    let about = |line: &String| line.starts_with("content-length") || line.starts_with("transfer-");
    Some(lines.filter(about).collect())
}

#[tokio::test]
async fn a_websocket_announces_no_body_to_its_origin() {
    for said in ["", "0", "46"] {
        let fields = [(":protocol", "websocket"), ("content-length", said)];
        let seen = lengths("CONNECT", &fields, Some(b"")).await;
        assert_eq!(seen.unwrap_or_default(), [""; 0], "{said:?}");
    }
}

#[tokio::test]
async fn a_length_said_twice_arrives_once() {
    let fields = [("content-length", "4"), ("content-length", "4")];
    let seen = lengths("POST", &fields, Some(b"body")).await;
    assert_eq!(seen.unwrap(), ["content-length: 4"]);
}

#[tokio::test]
async fn a_length_that_is_no_number_does_not_arrive() {
    for said in ["", "+4", "4, 4", "0x4", "4 "] {
        for body in [None, Some(&b"body"[..])] {
            let seen = lengths("POST", &[("content-length", said)], body).await;
            // Chunks: of a body whose head was there before it.
            let known = [
                "content-length: 4",
                "content-length: 0",
                "transfer-encoding: chunked",
            ];
            let good = |line: &String| known.contains(&line.as_str());
            let seen = seen.unwrap_or_default();
            assert!(
                seen.len() <= 1 && seen.iter().all(good),
                "{said:?}: {seen:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_empty_body_keeps_the_length_it_announced_and_gets_none_of_the_relay() {
    let seen = lengths("POST", &[("content-length", "0")], None).await;
    assert_eq!(seen.unwrap(), ["content-length: 0"]);
    let seen = lengths("GET", &[], None).await;
    assert_eq!(seen.unwrap(), [""; 0]);
}
