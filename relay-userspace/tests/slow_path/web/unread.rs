//! Clients that ask and do not read: what they pin is little, and not for long.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::frames::{END_STREAM, Frames, WIDEST, head};
use super::{Raw, connect, route, serving};
use crate::setup::{DEADLINE, eventually, metric};

const STREAMS: u32 = 50;

/// An origin whose answer never ends: where it is, and how much of it was taken from it.
async fn endless() -> (std::net::SocketAddr, Arc<AtomicU64>) {
    let taken = Arc::new(AtomicU64::new(0));
    let count = Arc::clone(&taken);
    let act = move |mut stream: TcpStream| {
        let count = Arc::clone(&count);
        async move {
            // What is taken is to be with the relay, not in the kernel.
            SockRef::from(&stream)
                .set_send_buffer_size(4 << 10)
                .unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
            while let Ok(written) = stream.write(&[b'x'; 16 << 10]).await {
                count.fetch_add(written as u64, Relaxed);
            }
        }
    };
    (Raw::default().start(act).await, taken)
}

async fn ask_for_all(client: &mut Frames) {
    for stream in 0..STREAMS {
        client
            .ask(2 * stream + 1, END_STREAM, &head("GET", "/", &[]))
            .await;
    }
}

#[tokio::test]
async fn an_answer_nobody_reads_gives_its_place_back() {
    let mut impatient = route("/", &[endless().await.0]);
    impatient.idle_timeout = Duration::from_millis(100);
    let relay = serving(vec![impatient]).await;
    let mut h1 = connect(&relay).await;
    let request = b"GET / HTTP/1.1\r\nHost: relay.test\r\n\r\n";
    h1.write_all(request).await.unwrap();
    let mut h2 = Frames::connect(&relay, 0).await;
    h2.ask(1, END_STREAM, &head("GET", "/", &[])).await;
    eventually("both are given up", async || {
        metric(&relay, "signaling_faults", "answer_unread").await == 2
            && metric(&relay, "signaling_requests_under_way", "").await == 0
    })
    .await;
    relay.shutdown().await;
}

#[tokio::test]
async fn a_connection_that_leaves_many_answers_unread_ends() {
    let mut impatient = route("/", &[endless().await.0]);
    impatient.idle_timeout = Duration::from_millis(100);
    let relay = serving(vec![impatient]).await;
    let mut client = Frames::connect(&relay, 0).await;
    ask_for_all(&mut client).await;
    let mut read = Vec::new();
    let all = timeout(DEADLINE, client.0.read_to_end(&mut read));
    // It may end without a TLS farewell.
    let _ = all.await.expect("an end in time");
    eventually("nothing is left", async || {
        metric(&relay, "http_connections", "").await == 0
            && metric(&relay, "signaling_requests_under_way", "").await == 0
    })
    .await;
    relay.shutdown().await;
}

#[tokio::test]
async fn answers_nobody_reads_pin_little_each_however_wide_the_window_is() {
    let (origin, taken) = endless().await;
    let relay = serving(vec![route("/", &[origin])]).await;
    let mut client = Frames::connect(&relay, WIDEST).await;
    client.widen(WIDEST - 65_535).await;
    ask_for_all(&mut client).await;
    let taken = || taken.load(Relaxed);
    let mut last = 0;
    // Until no more is taken: all that can be full is.
    let stopped = async {
        loop {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = taken();
            if now > 0 && now == last {
                return now;
            }
            last = now;
        }
    };
    let pinned = timeout(DEADLINE, stopped).await.expect("an end in time");
    let each = pinned / u64::from(STREAMS);
    assert!(each < 400 << 10, "{each} bytes of each answer");
    relay.shutdown().await;
}
