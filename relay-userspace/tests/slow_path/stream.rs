//! TURN over TCP and TLS: from the first byte to the end of the connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use relay_userspace::relay::Relay;
use relay_userspace::turn::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::TurnClient;
use crate::endpoint::Endpoint;
use crate::setup::{DEADLINE, addr, config, eventually, metric, relay};
use crate::trust::tls_to;

const CHANNEL: u16 = 0x4001;

pub async fn over_tcp(server: SocketAddr) -> TurnClient {
    let tcp = TcpStream::connect(server).await.expect("connected");
    let local = tcp.local_addr().expect("bound");
    TurnClient::over(Endpoint::connected(tcp, local, server), server)
}

pub async fn over_tls(server: SocketAddr, alpn: &[&[u8]]) -> TurnClient {
    let tcp = TcpStream::connect(server).await.expect("connected");
    let local = tcp.local_addr().expect("bound");
    let (tls, _) = tls_to(tcp, "relay.invalid", alpn)
        .await
        .expect("a handshake");
    TurnClient::over(Endpoint::connected(tls, local, server), server)
}

/// Over TCP, by a balancer that says where it comes from.
pub async fn named(server: SocketAddr, client: &str) -> TurnClient {
    let mut tcp = TcpStream::connect(server).await.expect("connected");
    let header = format!("PROXY TCP4 {client} 443\r\n");
    tcp.write_all(header.as_bytes()).await.expect("written");
    let local = tcp.local_addr().expect("bound");
    TurnClient::over(Endpoint::connected(tcp, local, server), server)
}

async fn data_goes_both_ways(relay: &Relay, mut client: TurnClient, transport: Transport) {
    let peer = Endpoint::new().await;
    let relayed = client.allocate().await.expect("allocated").relayed;
    client.permit(peer.address()).await.expect("permitted");
    client.send(peer.address(), b"by Send").await;
    assert_eq!(peer.receive().await, (b"by Send".to_vec(), relayed));
    peer.send(relayed, b"by Data").await;
    let data = (peer.address(), b"by Data".to_vec());
    assert_eq!(client.receive_indication().await, data);
    client.bind(CHANNEL, peer.address()).await.expect("bound");
    for length in [0, 1, 2, 3, 4, 1200, 9000, 60_000] {
        let data = vec![length as u8; length];
        client.send_channel(CHANNEL, &data).await;
        assert_eq!(peer.receive().await, (data.clone(), relayed));
        peer.send(relayed, &data).await;
        assert_eq!(client.receive_channel().await, (CHANNEL, data));
    }
    let [row] = &relay.sessions().await[..] else {
        panic!("one session");
    };
    assert_eq!((row.transport, row.channel), (transport, Some(CHANNEL)));
    assert_eq!(row.client, client.endpoint.address());
    assert_eq!(row.runs_in, "userspace");
    assert!(row.reason.as_ref().unwrap().contains("connection"));
    drop(client);
    eventually("the allocation ends with its connection", async || {
        relay.sessions().await.is_empty()
    })
    .await;
    assert_eq!(metric(relay, "turn_allocations_disconnected", "").await, 1);
    assert_eq!(metric(relay, "stream_connections", "").await, 0);
}

#[tokio::test]
async fn a_tcp_client_is_relayed_until_its_connection_ends() {
    let relay = relay(config()).await;
    let client = over_tcp(relay.status().listen_tcp[0]).await;
    data_goes_both_ways(&relay, client, Transport::Tcp).await;
    relay.shutdown().await;
}

#[tokio::test]
async fn a_tls_client_is_relayed_with_and_without_alpn() {
    for alpn in [&[][..], &[&b"stun.turn"[..]]] {
        let relay = relay(config()).await;
        let client = over_tls(relay.status().listen_tls[0], alpn).await;
        data_goes_both_ways(&relay, client, Transport::Tls).await;
        relay.shutdown().await;
    }
}

#[tokio::test]
async fn each_port_serves_what_the_other_is_named_for() {
    let relay = relay(config()).await;
    let status = relay.status();
    let mut plain = over_tcp(status.listen_tls[0]).await;
    plain.allocate().await.expect("TURN without TLS");
    let mut secure = over_tls(status.listen_tcp[0], &[]).await;
    secure.allocate().await.expect("TURN over TLS");
    relay.shutdown().await;
}

#[tokio::test]
async fn clients_of_different_transports_reach_each_other() {
    let relay = relay(config()).await;
    let status = relay.status();
    let mut a = over_tls(status.listen_tls[0], &[]).await;
    let mut b = TurnClient::new(status.listen[0]).await;
    let mut c = over_tcp(status.listen_tcp[0]).await;
    let [of_a, of_b, of_c] = [
        a.allocate().await.unwrap().relayed,
        b.allocate().await.unwrap().relayed,
        c.allocate().await.unwrap().relayed,
    ];
    a.bind(CHANNEL, of_b).await.unwrap();
    a.bind(CHANNEL + 1, of_c).await.unwrap();
    b.bind(CHANNEL, of_a).await.unwrap();
    c.bind(CHANNEL, of_a).await.unwrap();
    a.send_channel(CHANNEL, b"tls to udp").await;
    assert_eq!(b.receive_channel().await, (CHANNEL, b"tls to udp".to_vec()));
    b.send_channel(CHANNEL, b"udp to tls").await;
    assert_eq!(a.receive_channel().await, (CHANNEL, b"udp to tls".to_vec()));
    a.send_channel(CHANNEL + 1, b"tls to tcp").await;
    assert_eq!(c.receive_channel().await, (CHANNEL, b"tls to tcp".to_vec()));
    relay.shutdown().await;
}

/// Everything an HTTP client gets.
async fn ask(stream: &mut (impl AsyncReadExt + AsyncWriteExt + Unpin)) -> String {
    let request = b"GET /x HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    let read = timeout(DEADLINE, stream.read_to_string(&mut answer)).await;
    // The connection may end without a TLS farewell.
    let _ = read.expect("an answer in time");
    answer
}

#[tokio::test]
async fn http_on_the_same_port_is_told_apart_by_alpn_and_by_its_first_byte() {
    let relay = relay(config()).await;
    let server = relay.status().listen_tls[0];
    for alpn in [&[][..], &[&b"http/1.1"[..]]] {
        let tcp = TcpStream::connect(server).await.unwrap();
        let (mut tls, _) = tls_to(tcp, "relay.invalid", alpn).await.unwrap();
        let answer = ask(&mut tls).await;
        assert!(answer.starts_with("HTTP/1.1 404"), "{answer}");
    }
    let mut plain = TcpStream::connect(server).await.unwrap();
    assert!(ask(&mut plain).await.starts_with("HTTP/1.1 404"));
    let tcp = TcpStream::connect(server).await.unwrap();
    let (tls, _) = tls_to(tcp, "relay.invalid", &[b"h2"]).await.unwrap();
    assert_eq!(tls.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    eventually("HTTP is counted", async || {
        metric(&relay, "stream_accepted", "http").await == 4
    })
    .await;
    relay.shutdown().await;
}

#[tokio::test]
async fn a_balancer_names_the_client_and_nobody_else_may() {
    let mut proxied = config();
    proxied.listen.proxy_protocol_from = vec!["127.0.0.2/32".parse().unwrap()];
    let relay = relay(proxied).await;
    let server = relay.status().listen_tls[0];
    let header = b"PROXY TCP4 203.0.113.7 198.51.100.1 4242 443\r\n";
    let from = async |local: &str, header: &[u8]| {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(addr(local)).unwrap();
        let mut tcp = socket.connect(server).await.unwrap();
        tcp.write_all(header).await.unwrap();
        tcp
    };
    let tcp = from("127.0.0.2:0", header).await;
    let local = tcp.local_addr().unwrap();
    let (tls, _) = tls_to(tcp, "relay.invalid", &[]).await.unwrap();
    let mut client = TurnClient::over(Endpoint::connected(tls, local, server), server);
    client.allocate().await.expect("allocated");
    assert_eq!(relay.sessions().await[0].client, addr("203.0.113.7:4242"));

    let stranger = from("127.0.0.3:0", header).await;
    Endpoint::connected(stranger, local, server).ended().await;
    let nameless = from(
        "127.0.0.2:0",
        b"\x00\x03\x00\x00\x21\x12\xa4\x42\x00\x00\x00\x00",
    )
    .await;
    Endpoint::connected(nameless, local, server).ended().await;
    eventually("both are counted", async || {
        metric(&relay, "stream_refused", "proxy_header").await == 1
    })
    .await;
    assert_eq!(relay.sessions().await.len(), 1);
    relay.shutdown().await;
}

#[tokio::test]
async fn the_silent_the_slow_and_the_garbled_are_cut_and_disturb_nobody() {
    let mut impatient = config();
    impatient.stream.setup_timeout = Duration::from_secs(1);
    let relay = relay(impatient).await;
    let server = relay.status().listen_tls[0];
    let peer = Endpoint::new().await;
    let mut good = over_tls(server, &[]).await;
    good.allocate().await.expect("allocated");
    good.bind(CHANNEL, peer.address()).await.expect("bound");

    let send = async |bytes: &[u8]| {
        let mut tcp = TcpStream::connect(server).await.unwrap();
        tcp.write_all(bytes).await.unwrap();
        Endpoint::connected(tcp, server, server)
    };
    let mut bad = Vec::new();
    let hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196];
    let huge = [0, 1, 0xFF, 0xFC];
    let odd = [0, 1, 0, 3];
    for bytes in [
        &[][..],
        &hello,
        &[0x16; 400],
        &huge,
        &odd,
        &[0xFF; 64],
        b"GE",
    ] {
        bad.push(send(bytes).await);
    }
    // After a whole handshake, silence and garbage again.
    for first in [&[][..], &[0xFF], &huge] {
        let tcp = TcpStream::connect(server).await.unwrap();
        let (mut tls, _) = tls_to(tcp, "relay.invalid", &[]).await.unwrap();
        tls.write_all(first).await.unwrap();
        tls.flush().await.unwrap();
        bad.push(Endpoint::connected(tls, server, server));
    }
    // A client that asks, and gets no allocation.
    let mut idle = over_tcp(server).await;
    idle.refresh(0).await.expect_err("nothing to end");
    bad.push(idle.endpoint);
    for endpoint in bad {
        endpoint.ended().await;
    }
    let refused = async |reason: &str| metric(&relay, "stream_refused", reason).await;
    eventually("all are counted", async || {
        let refused = [
            refused("too_slow").await,
            refused("tls_handshake").await,
            refused("unknown_protocol").await,
        ];
        let ended = [
            metric(&relay, "stream_ended", "malformed").await,
            metric(&relay, "stream_ended", "no_allocation").await,
        ];
        (refused, ended) == ([3, 1, 2], [3, 1])
    })
    .await;
    good.send_channel(CHANNEL, b"still here").await;
    assert_eq!(peer.receive().await.0, b"still here");
    assert_eq!(metric(&relay, "stream_connections", "").await, 1);
    relay.shutdown().await;
}

#[tokio::test]
async fn the_handshakes_of_a_prefix_are_as_many_a_second_as_it_may_begin() {
    let mut few = config();
    few.stream.handshakes_per_second = 3;
    let relay = relay(few).await;
    let server = relay.status().listen_tls[0];
    let mut refused = 0;
    let mut kept = Vec::new();
    while refused == 0 {
        let tcp = TcpStream::connect(server).await.unwrap();
        match tls_to(tcp, "relay.invalid", &[]).await {
            Ok((tls, _)) => kept.push(tls),
            Err(_) => refused += 1,
        }
    }
    assert!(kept.len() >= 3, "{} handshakes", kept.len());
    eventually("it is counted", async || {
        metric(&relay, "stream_refused", "handshake_rate").await == 1
    })
    .await;
    let mut plain = over_tcp(server).await;
    plain.allocate().await.expect("TCP costs no handshake");
    eventually("others again after a third of a second", async || {
        let tcp = TcpStream::connect(server).await.unwrap();
        tls_to(tcp, "relay.invalid", &[]).await.is_ok()
    })
    .await;
    relay.shutdown().await;
}

#[tokio::test]
async fn a_client_that_stops_reading_costs_bounded_memory_and_gets_fresh_data_later() {
    let mut small = config();
    small.stream.max_queue_bytes = 100_000;
    let relay = Arc::new(relay(small).await);
    let status = relay.status();
    let peer = Endpoint::new().await;
    let mut other = over_tcp(status.listen_tcp[0]).await;
    other.allocate().await.unwrap();
    other.bind(CHANNEL, peer.address()).await.unwrap();
    for server in [status.listen_tcp[0], status.listen_tls[0]] {
        let mut stalled = match server == status.listen_tcp[0] {
            true => over_tcp(server).await,
            false => over_tls(server, &[]).await,
        };
        let relayed = stalled.allocate().await.unwrap().relayed;
        stalled.bind(CHANNEL, peer.address()).await.unwrap();
        let dropped = async || {
            let rows = relay.sessions().await;
            let row = rows.into_iter().find(|row| row.relayed == relayed);
            row.map_or(0, |row| row.stream_dropped)
        };
        // Until the kernel's buffers are full and the queue is as well.
        let mut serial = 0u32;
        while dropped().await < 100 {
            for _ in 0..500 {
                serial += 1;
                peer.send(relayed, &[&serial.to_be_bytes()[..], &[7; 1000]].concat())
                    .await;
            }
        }
        other.send_channel(CHANNEL, b"not disturbed").await;
        assert_eq!(peer.receive().await.0, b"not disturbed");
        // What comes is whole and in order, and does not end before the newest.
        let mut last = 0;
        while last < serial {
            let (_, data) = stalled.receive_channel().await;
            let number = u32::from_be_bytes(data[..4].try_into().unwrap());
            assert!(number > last && data.len() == 1004, "{number} after {last}");
            last = number;
            if last + 100 > serial {
                break;
            }
        }
        assert!(metric(&relay, "userspace_dropped", "stream_queue").await >= 100);
    }
    relay.as_ref().clone().shutdown().await;
}

#[tokio::test]
async fn a_second_connection_of_one_5_tuple_takes_the_place_of_the_first() {
    let mut proxied = config();
    proxied.workers = 1;
    proxied.listen.proxy_protocol_from = vec!["127.0.0.0/8".parse().unwrap()];
    let relay = relay(proxied).await;
    let server = relay.status().listen_tcp[0];
    let mut first = named(server, "203.0.113.7 198.51.100.1 4242").await;
    first.allocate().await.expect("allocated");
    let mut second = named(server, "203.0.113.7 198.51.100.1 4242").await;
    second.allocate().await.expect("allocated anew");
    first.endpoint.ended().await;
    assert_eq!(relay.sessions().await.len(), 1);
    second.refresh(600).await.expect("still there");
    relay.shutdown().await;
}
