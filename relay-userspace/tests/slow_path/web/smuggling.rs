//! Requests that two programs would read as different ones: the origin sees one, or none, and never the one inside.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::{Echo, Raw, ask, route, say, serving};

const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nHost: relay.test\r\n\r\n";

/// How many requests the origin saw of `request`, and the status of the first answer (0: none).
async fn seen(request: &str) -> (u16, usize) {
    let echo = Echo::default();
    let relay = serving(vec![route("/", &[echo.start().await])]).await;
    let status = say(&relay, request).await.map_or(0, |answer| answer.status);
    relay.shutdown().await;
    let asked = echo.asked();
    assert!(
        !asked.iter().any(|one| one.contains("GET /smuggled")),
        "{request}: {asked:?}"
    );
    (status, asked.len())
}

async fn refused(request: &str) {
    let (status, count) = seen(request).await;
    assert!(status == 400 || status == 0, "{status} for {request}");
    assert_eq!(count, 0, "{request}");
}

fn post(fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: relay.test\r\n{fields}\r\n{body}")
}

#[tokio::test]
async fn of_a_length_beside_chunks_only_the_chunks_arrive_and_the_connection_ends() {
    let inside = format!("0\r\n\r\n{SMUGGLED}");
    let length = format!("Content-Length: {}\r\n", inside.len());
    let chunks = "Transfer-Encoding: chunked\r\n";
    for fields in [format!("{length}{chunks}"), format!("{chunks}{length}")] {
        // Until the relay closes: what comes behind the chunks is no request any more (RFC 9112 §6.1).
        assert_eq!(seen(&post(&fields, &inside)).await, (200, 1));
    }
}

#[tokio::test]
async fn two_lengths_are_refused() {
    for fields in [
        "Content-Length: 0\r\nContent-Length: 46\r\n",
        "Content-Length: 0, 46\r\n",
        "Content-Length: 46, 46\r\n",
        "Content-Length: +46\r\n",
        "Content-Length: 0x2e\r\n",
        "Content-Length: 4 6\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: 99999999999999999999\r\n",
    ] {
        refused(&post(fields, SMUGGLED)).await;
    }
}

#[tokio::test]
async fn folded_and_garbled_fields_are_refused() {
    for fields in [
        "X-Folded: a\r\n b\r\n",
        " X-Leading: a\r\n",
        "X-Space : a\r\n",
        "Transfer-Encoding : chunked\r\n",
        "Content-Length : 46\r\n",
        "X-Bare: a\rTransfer-Encoding: chunked\r\n",
        "X-Zero: a\0b\r\n",
        ": empty\r\n",
        "NoColon\r\n",
    ] {
        refused(&post(fields, "")).await;
    }
}

#[tokio::test]
async fn encodings_that_are_not_chunked_alone_are_refused() {
    for encoding in [
        "identity",
        "chunked, identity",
        "xchunked",
        "gzip",
        "chunked\x0b",
    ] {
        let body = format!("0\r\n\r\n{SMUGGLED}");
        refused(&post(&format!("Transfer-Encoding: {encoding}\r\n"), &body)).await;
    }
    let http_1_0 = format!(
        "POST / HTTP/1.0\r\nHost: relay.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{SMUGGLED}"
    );
    refused(&http_1_0).await;
}

#[tokio::test]
async fn chunks_that_could_be_read_in_two_ways_never_carry_a_request() {
    for body in [
        "g\r\n\r\n0\r\n\r\n",
        "-1\r\n\r\n0\r\n\r\n",
        "0x1\r\nA\r\n0\r\n\r\n",
        "1 1\r\nA\r\n0\r\n\r\n",
        "ffffffffffffffffff\r\n",
        "1;a\nb\r\nA\r\n0\r\n\r\n",
        "1\nA\n0\n\n",
        "1\r\nAB0\r\n\r\n",
        "\r\n0\r\n\r\n",
    ] {
        let request = post(
            "Transfer-Encoding: chunked\r\n",
            &format!("{body}{SMUGGLED}"),
        );
        let echo = Echo::default();
        let relay = serving(vec![route("/", &[echo.start().await])]).await;
        let answer = say(&relay, &request).await;
        assert!(answer.is_none_or(|one| one.status >= 400), "{request}");
        relay.shutdown().await;
        let asked = echo.asked();
        // One may have begun before its body was read: it never ended well.
        let whole = |one: &String| !one.ends_with("broken");
        assert!(!asked.iter().any(whole), "{body:?}: {asked:?}");
    }
}

#[tokio::test]
async fn of_an_answers_length_beside_chunks_only_the_chunks_arrive() {
    let origin = Raw::default()
        .start(async |mut stream: TcpStream| {
            let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunks = "5\r\nwhole\r\n0\r\n\r\n";
            let _ = stream.write_all(format!("{head}{chunks}").as_bytes()).await;
        })
        .await;
    let relay = serving(vec![route("/", &[origin])]).await;
    let answer = ask(&relay, "GET /", "").await;
    assert!(answer.header("content-length").is_none(), "{answer:?}");
    assert_eq!(answer.body, "5\r\nwhole\r\n0\r\n\r\n");
    relay.shutdown().await;
}
