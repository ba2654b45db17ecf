//! Origins that fail in every way: who is asked instead, and what the client is told.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Echo, Raw, ask, route, serving};
use crate::setup::{Nobody, eventually, metric};

/// Broken off without a farewell.
async fn reset(stream: TcpStream) {
    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
}

#[tokio::test]
async fn the_client_is_told_which_side_failed() {
    let gone = Nobody::new();
    let resets = Raw::default().start(reset).await;
    let silent = Raw::default().start(async |_stream| pending().await).await;
    let confused = Raw::default();
    let confused = confused.start(async |mut stream: TcpStream| {
        let _ = stream.write_all(b"HELO mail.example\r\n\r\n").await;
        pending().await
    });
    let mut routes = vec![
        route("/nobody", &[gone.address()]),
        route("/resets", &[resets]),
        route("/silent", &[silent]),
        route("/confused", &[confused.await]),
    ];
    routes[2].response_timeout = Duration::from_millis(50);
    routes[2].connect_timeout = Duration::from_millis(50);
    let relay = serving(routes).await;
    for (path, status, code) in [
        ("/nobody", 502, "origin_unreachable"),
        ("/resets", 502, "origin_reset"),
        ("/silent", 504, "origin_timeout"),
        ("/confused", 502, "origin_bad_answer"),
    ] {
        let answer = ask(&relay, &format!("GET {path}"), "").await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        assert!(answer.body.contains("\"side\":\"origin\""), "{answer:?}");
        eventually("the fault is counted", async || {
            metric(&relay, "signaling_faults", "").await > 0
                && metric(&relay, "signaling_faults", code).await == 1
        })
        .await;
    }
    relay.shutdown().await;
}

#[tokio::test]
async fn another_origin_is_asked_when_one_cannot_be_reached_whatever_the_method() {
    let echo = Echo::default();
    let gone = [Nobody::new(), Nobody::new()];
    let origins = [gone[0].address(), gone[1].address(), echo.start().await];
    let relay = serving(vec![route("/", &origins)]).await;
    for _ in 0..6 {
        let answer = ask(&relay, "POST /\r\nContent-Length: 4", "body").await;
        assert!(
            answer.status == 200 && answer.body.ends_with("body"),
            "{answer:?}"
        );
    }
    assert_eq!(echo.asked().len(), 6);
    // Known to be away, they are the last choice.
    assert!(metric(&relay, "signaling_retries", "").await <= 4);
    relay.shutdown().await;
}

#[tokio::test]
async fn what_an_origin_may_have_done_already_is_not_asked_twice() {
    for (head, body, status, asked) in [
        ("GET /", "", 200, true),
        ("PUT /\r\nContent-Length: 0", "", 200, true),
        ("POST /\r\nContent-Length: 0", "", 502, false),
        ("PUT /\r\nContent-Length: 4", "body", 502, false),
    ] {
        let (raw, echo) = (Raw::default(), Echo::default());
        let origins = [raw.start(reset).await, echo.start().await];
        let relay = serving(vec![route("/", &origins)]).await;
        let answer = ask(&relay, head, body).await;
        assert_eq!(answer.status, status, "{head}: {answer:?}");
        assert_eq!(
            (raw.count(), !echo.asked().is_empty()),
            (1, asked),
            "{head}"
        );
        relay.shutdown().await;
    }
}

#[tokio::test]
async fn an_origin_whose_checks_fail_is_left_alone_until_they_succeed() {
    let well = Arc::new(AtomicBool::new(true));
    let told = Arc::clone(&well);
    let origin = Raw::default()
        .start(move |mut stream| {
            let status = match told.load(Ordering::Relaxed) {
                true => "200 OK",
                false => "500 Not well",
            };
            async move {
                let answer =
                    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        })
        .await;
    let mut checked = route("/", &[origin]);
    checked.health_path = Some("/health".to_owned());
    let relay = serving(vec![checked]).await;
    let healthy = async || metric(&relay, "signaling_origin_healthy", "").await == 1;
    assert_eq!(ask(&relay, "GET /", "").await.status, 200);
    well.store(false, Ordering::Relaxed);
    eventually("it is found not to be well", async || !healthy().await).await;
    let answer = ask(&relay, "GET /", "").await;
    assert_eq!(
        (answer.status, answer.code().as_str()),
        (503, "no_healthy_origin")
    );
    assert_eq!(answer.header("retry-after"), Some("1"));
    well.store(true, Ordering::Relaxed);
    eventually("it is well again", healthy).await;
    assert_eq!(ask(&relay, "GET /", "").await.status, 200);
    relay.shutdown().await;
}
