//! TCP allocations (RFC 6062) over real connections, of clients on TCP (moved by `splice`) and on TLS (copied).

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use relay_userspace::config::Config;
use relay_userspace::relay::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::client::{Refused, TurnClient};
use crate::endpoint::Stream;
use crate::setup::{DEADLINE, config, eventually, relay};
use crate::stream::{over_tcp, over_tls};

/// More than all buffers on the way hold.
const PLENTY: usize = 256 << 20;
/// Nothing moves any more.
const STALLED: Duration = Duration::from_millis(500);

/// A client's allocation, and a data connection of it with its peer at the other end.
struct Call {
    relay: Relay,
    control: TurnClient,
    client: Box<dyn Stream>,
    peer: TcpStream,
}

async fn client(relay: &Relay, secure: bool) -> TurnClient {
    let status = relay.status();
    match secure {
        true => over_tls(status.listen_tls[0], &[]).await,
        false => over_tcp(status.listen_tcp[0]).await,
    }
}

async fn call(config: Config, secure: bool) -> Call {
    let relay = relay(config).await;
    let mut control = client(&relay, secure).await;
    let relayed = control.allocate_tcp().await.expect("allocated");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a peer");
    let at = listener.local_addr().expect("bound");
    let accepted = tokio::spawn(async move { listener.accept().await.expect("a connection") });
    let connection = control.connect(at).await.expect("connected");
    let (peer, from) = accepted.await.expect("accepted");
    assert_eq!(from, relayed);
    let client = joined(&relay, secure, connection).await;
    Call {
        relay,
        control,
        client,
        peer,
    }
}

async fn joined(relay: &Relay, secure: bool, connection: u32) -> Box<dyn Stream> {
    let mut data = client(relay, secure).await;
    data.join(connection).await.expect("joined");
    data.endpoint.into_stream()
}

/// Bytes that tell where in a stream they are.
fn pattern(from: usize, length: usize) -> Vec<u8> {
    (from..from + length)
        .map(|at| (at / 3 % 251) as u8)
        .collect()
}

async fn read_all(stream: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut all = Vec::new();
    // A TLS stream may end without a farewell when the other direction was closed first.
    let read = timeout(DEADLINE, stream.read_to_end(&mut all)).await;
    read.expect("an end in time").expect("read");
    all
}

#[tokio::test]
async fn bytes_go_both_ways_and_who_said_all_still_hears_the_other() {
    for secure in [false, true] {
        let mut call = call(config(), secure).await;
        let (to_peer, to_client) = (pattern(0, 300_000), pattern(7, 500_000));
        call.client.write_all(&to_peer).await.unwrap();
        call.client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut call.peer).await, to_peer);
        // Long after the client has closed its half.
        call.peer.write_all(&to_client).await.unwrap();
        call.peer.shutdown().await.unwrap();
        assert_eq!(read_all(&mut call.client).await, to_client);
        call.relay.shutdown().await;
    }
}

#[tokio::test]
async fn a_peer_that_said_all_still_hears_the_client() {
    for secure in [false, true] {
        let mut call = call(config(), secure).await;
        let (to_peer, to_client) = (pattern(3, 300_000), pattern(9, 100_000));
        call.peer.write_all(&to_client).await.unwrap();
        call.peer.shutdown().await.unwrap();
        assert_eq!(read_all(&mut call.client).await, to_client);
        call.client.write_all(&to_peer).await.unwrap();
        call.client.shutdown().await.unwrap();
        assert_eq!(read_all(&mut call.peer).await, to_peer);
        call.relay.shutdown().await;
    }
}

/// Writes until nothing is taken any more; how much was.
async fn fill(stream: &mut (impl AsyncWriteExt + Unpin)) -> usize {
    let mut written = 0;
    while written < PLENTY {
        let chunk = pattern(written, 64 << 10);
        match timeout(STALLED, stream.write(&chunk)).await {
            Ok(taken) => written += taken.expect("written"),
            Err(_) => return written,
        }
    }
    panic!("{written} bytes were taken and nobody reads them");
}

async fn drain(stream: &mut (impl AsyncReadExt + Unpin), length: usize) {
    let (mut read, mut buffer) = (0, vec![0; 64 << 10]);
    while read < length {
        let most = buffer.len().min(length - read);
        let got = timeout(DEADLINE, stream.read(&mut buffer[..most])).await;
        let got = got.expect("more in time").expect("read");
        assert_eq!(buffer[..got], pattern(read, got), "at {read} of {length}");
        assert!(got > 0, "it ends at {read} of {length}");
        read += got;
    }
}

#[tokio::test]
async fn who_does_not_read_holds_up_the_other_and_loses_nothing() {
    for secure in [false, true] {
        let mut call = call(config(), secure).await;
        let to_client = fill(&mut call.peer).await;
        // The way back is not held up by that.
        call.client.write_all(b"still heard").await.unwrap();
        call.client.flush().await.unwrap();
        let mut heard = [0; 11];
        let reading = timeout(DEADLINE, call.peer.read_exact(&mut heard)).await;
        reading.expect("in time").expect("read");
        assert_eq!(&heard, b"still heard");
        drain(&mut call.client, to_client).await;

        let to_peer = fill(&mut call.client).await;
        call.peer.write_all(b"still heard").await.unwrap();
        let reading = timeout(DEADLINE, call.client.read_exact(&mut heard)).await;
        reading.expect("in time").expect("read");
        let reading = drain(&mut call.peer, to_peer);
        // TLS holds back the rest of a record until there is room.
        let flushing = call.client.flush();
        let (_, flushed) = tokio::join!(reading, flushing);
        flushed.unwrap();
        call.relay.shutdown().await;
    }
}

#[tokio::test]
async fn connections_are_held_to_the_rates_of_a_session() {
    const BYTES: usize = 500_000;
    for secure in [false, true] {
        let mut limited = config();
        limited.rates.session.bits_per_second = Some(2_000_000);
        // What a busy machine makes late by less is made up for.
        limited.rates.burst = Duration::from_millis(150);
        let call = call(limited, secure).await;
        let (mut from_client, mut to_client) = tokio::io::split(call.client);
        let (mut from_peer, mut to_peer) = call.peer.into_split();
        let start = Instant::now();
        let bytes = pattern(0, BYTES);
        let up = async {
            to_client.write_all(&bytes).await.unwrap();
            to_client.flush().await.unwrap();
        };
        let down = async { to_peer.write_all(&bytes).await.unwrap() };
        tokio::join!(
            up,
            down,
            drain(&mut from_client, BYTES),
            drain(&mut from_peer, BYTES)
        );
        let rate = BYTES as f64 / start.elapsed().as_secs_f64();
        println!("{rate:.0} bytes a second each way (TLS: {secure})");
        // Two seconds' worth, less the burst; TLS that was not optimised may take longer on a busy machine.
        let allowed = 200e3..280e3;
        assert!(allowed.contains(&rate), "{rate:.0} bytes a second");
        call.relay.shutdown().await;
    }
}

#[tokio::test]
async fn a_second_connection_bind_is_refused_and_the_first_goes_on() {
    let relay = relay(config()).await;
    let mut control = client(&relay, false).await;
    let relayed = control.allocate_tcp().await.expect("allocated");
    let peers = [
        peer(&mut control, relayed).await,
        peer(&mut control, relayed).await,
    ];
    let [(mut first, id), (_second, other)] = peers;
    let mut data = client(&relay, false).await;
    // Both in one write: the answer to the first is not there yet.
    let answers = data.join_twice([id, other]).await;
    assert_eq!(answers, [Ok(()), Err(Refused(400))]);
    let mut stream = data.endpoint.into_stream();
    stream.write_all(b"to the first").await.unwrap();
    let mut heard = [0; 12];
    let reading = timeout(DEADLINE, first.read_exact(&mut heard)).await;
    reading.expect("in time").expect("read");
    assert_eq!(&heard, b"to the first");
    let mut again = client(&relay, false).await;
    again.join(other).await.expect("nobody has the second");
    relay.shutdown().await;
}

/// A peer that connects, and its connection.
async fn peer(control: &mut TurnClient, relayed: SocketAddr) -> (TcpStream, u32) {
    control.permit(relayed).await.expect("permitted");
    let peer = TcpStream::connect(relayed).await.expect("connected");
    (peer, control.attempt().await)
}

#[tokio::test]
async fn connections_end_with_their_allocation() {
    let mut call = call(config(), false).await;
    call.client.write_all(b"x").await.unwrap();
    call.control.refresh(0).await.expect("ended");
    let mut rest = Vec::new();
    let ended = timeout(DEADLINE, call.client.read_to_end(&mut rest)).await;
    // A reset is an end, too.
    let _ = ended.expect("it ends in time");
    eventually("nothing is left", async || {
        call.relay.sessions().await.is_empty()
    })
    .await;
    call.relay.shutdown().await;
}
