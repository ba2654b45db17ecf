//! `relay connect` behind a link that is made bad in mid-flow: over which leg it goes, what of a stream is missing, and what
//! it says.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::Stdio;
use std::time::{Duration, Instant};

use relay_tests::relay::Follower;
use relay_tests::rough::{Rough, local_port, wait_for};
use relay_tests::topology::SERVER_V4;
use serde_json::Value;

const PERIOD: Duration = Duration::from_millis(5);

/// Numbered datagrams through a connector, both ways.
struct Stream {
    application: UdpSocket,
    port: SocketAddr,
    peer: UdpSocket,
    /// Where the peer sees them come from.
    relayed: Option<SocketAddr>,
    next: u32,
    /// Those before it found the way.
    first: u32,
    to_peer: BTreeSet<u32>,
    to_application: BTreeSet<u32>,
}

impl Stream {
    fn new(rough: &Rough, peer: UdpSocket, port: SocketAddr) -> Self {
        let application = rough.application();
        for socket in [&application, &peer] {
            socket.set_nonblocking(true).unwrap();
        }
        let mut stream = Self {
            application,
            port,
            peer,
            relayed: None,
            next: 0,
            first: 0,
            to_peer: BTreeSet::new(),
            to_application: BTreeSet::new(),
        };
        let end = Instant::now() + Duration::from_secs(10);
        while stream.relayed.is_none() {
            assert!(Instant::now() < end, "nothing arrives at the peer");
            stream.run_for(PERIOD);
        }
        stream.first = stream.next;
        stream
    }

    /// Until `connector` says `event`; the number of the first datagram that was sent after it.
    fn run_until(&mut self, connector: &Follower, event: &str) -> (Value, u32) {
        let start = Instant::now();
        loop {
            assert!(start.elapsed() < Duration::from_secs(60), "no {event}");
            self.run_for(PERIOD);
            while let Some(line) = connector.poll::<Value>().unwrap() {
                println!("{line}");
                if line["event"] == event {
                    return (line, self.next);
                }
            }
        }
    }

    fn run_for(&mut self, time: Duration) {
        let start = Instant::now();
        while start.elapsed() < time {
            let number = self.next.to_be_bytes();
            self.next += 1;
            self.application.send_to(&number, self.port).unwrap();
            if let Some(relayed) = self.relayed {
                self.peer.send_to(&number, relayed).unwrap();
            }
            let next = Instant::now() + PERIOD;
            while Instant::now() < next {
                self.receive();
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = self.peer.recv_from(&mut buffer) {
            let before = self.relayed.replace(from);
            assert!(
                before.is_none_or(|before| before == from),
                "another relayed address: {before:?}, {from}"
            );
            let number = u32::from_be_bytes(buffer[..length].try_into().unwrap());
            assert!(self.to_peer.insert(number), "{number} came twice");
        }
        while let Ok((length, _)) = self.application.recv_from(&mut buffer) {
            let number = u32::from_be_bytes(buffer[..length].try_into().unwrap());
            assert!(self.to_application.insert(number), "{number} came twice");
        }
    }

    /// Waits for what is under way.
    fn settle(&mut self) {
        let end = Instant::now() + Duration::from_secs(10);
        let last = self.next - 1;
        while !(self.to_peer.contains(&last) && self.to_application.contains(&last)) {
            assert!(Instant::now() < end, "the last ones did not arrive");
            self.receive();
        }
    }

    /// Of those from `first` on.
    fn missing(&self, first: u32) -> [usize; 2] {
        let sent = (self.next - first) as usize;
        [&self.to_peer, &self.to_application].map(|arrived| sent - arrived.range(first..).count())
    }
}

/// A connector in this mode, ready, and a stream through it.
fn connected(rough: &Rough, mode: &str) -> (Follower, Stream, Value) {
    let peer = rough.peer();
    let forward = format!("udp/127.0.0.1:0={}", peer.local_addr().unwrap());
    let connector = rough.connect(mode, &forward);
    let port = local_port(&connector);
    let selected = wait_for(&connector, "transport-selected");
    wait_for(&connector, "ready");
    let stream = Stream::new(rough, peer, port);
    (connector, stream, selected)
}

#[test]
fn a_stream_goes_on_over_tls_when_udp_is_cut_and_back_when_it_works_with_the_same_address() {
    let Some(rough) = Rough::new() else { return };
    let (connector, mut stream, selected) = connected(&rough, "UDP_OVER_TCP");
    assert_eq!(selected["proto"], "udp");
    stream.run_for(Duration::from_secs(1));
    stream.settle();
    assert_eq!(stream.missing(stream.first), [0, 0]);

    rough.link.change(|weather| weather.udp_blocked = true);
    let cut = Instant::now();
    let (switched, _) = stream.run_until(&connector, "transport-switched");
    let took = cut.elapsed();
    println!("on TLS after {took:?}");
    assert_eq!(
        (&switched["from"], &switched["to"]),
        (&"udp".into(), &"tcp".into())
    );
    // Of a machine so busy that a probe was late before: it asks more often, and knows sooner.
    let reason = switched["reason"].as_str().unwrap();
    assert!(["silence", "loss"].contains(&reason), "{reason}");
    // 2.5 s without a proof, and a busy machine.
    assert!(took < Duration::from_secs(5), "{took:?}");
    stream.run_for(Duration::from_millis(500));
    stream.settle();
    let [to_peer, to_application] = stream.missing(stream.first);
    println!("missing: {to_peer} to the peer, {to_application} to the application");
    let lost = switched["lost"].as_u64().unwrap() as usize;
    assert!((1..=lost).contains(&to_peer), "{to_peer} of at most {lost}");
    assert!(to_application > 0, "the link was cut");

    let restored = stream.next;
    rough.link.change(|weather| weather.udp_blocked = false);
    let (returned, _) = stream.run_until(&connector, "transport-switched");
    assert_eq!(
        (&returned["from"], &returned["to"]),
        (&"tcp".into(), &"udp".into())
    );
    assert_eq!(
        (&returned["gap_ms"], &returned["lost"]),
        (&0.into(), &0.into())
    );
    stream.run_for(Duration::from_secs(1));
    stream.settle();
    assert_eq!(stream.missing(restored), [0, 0]);
    assert_eq!(rough.relay.sessions().unwrap().len(), 1);
}

#[test]
fn udp_that_is_blocked_from_the_start_is_not_waited_for_and_tcp_only_sends_none() {
    let Some(rough) = Rough::new() else { return };
    let before = rough.link.udp_upstream();
    let (connector, mut stream, selected) = connected(&rough, "TCP_ONLY");
    assert_eq!(
        (&selected["proto"], &selected["reason"]),
        (&"tcp".into(), &"mode".into())
    );
    stream.run_for(Duration::from_secs(1));
    stream.settle();
    assert_eq!(stream.missing(stream.first), [0, 0]);
    assert_eq!(rough.link.udp_upstream(), before, "UDP in TCP_ONLY");
    drop(connector);

    rough.link.change(|weather| weather.udp_blocked = true);
    let (_connector, mut stream, selected) = connected(&rough, "UDP_OVER_TCP");
    assert_eq!(
        (&selected["proto"], &selected["reason"]),
        (&"tcp".into(), &"no-answer".into())
    );
    let elapsed = selected["elapsed_ms"].as_u64().unwrap();
    assert!((1000..4000).contains(&elapsed), "{elapsed} ms");
    stream.run_for(Duration::from_millis(500));
    stream.settle();
    assert_eq!(stream.missing(stream.first), [0, 0]);
    assert!(rough.link.udp_upstream() > before, "UDP was tried");
}

#[test]
fn a_nat_that_forgets_its_client_costs_no_relayed_address() {
    let Some(rough) = Rough::new() else { return };
    let (_connector, mut stream, _) = connected(&rough, "UDP_ONLY");
    stream.run_for(Duration::from_millis(500));
    stream.settle();
    rough.link.rebind();
    // Until a probe has said so: a dozen of them.
    let end = Instant::now() + Duration::from_secs(10);
    let known = stream.to_peer.len();
    while stream.to_peer.len() == known {
        assert!(Instant::now() < end, "nothing arrives any more");
        stream.run_for(Duration::from_millis(50));
    }
    let first = stream.next;
    stream.run_for(Duration::from_secs(1));
    stream.settle();
    assert_eq!(stream.missing(first), [0, 0]);
}

#[test]
fn udp_only_fails_with_what_was_tried_and_what_to_open() {
    let Some(rough) = Rough::new() else { return };
    rough.link.change(|weather| weather.udp_blocked = true);
    let mut command = rough.connect_command("UDP_ONLY", &format!("udp/127.0.0.1:0={SERVER_V4}:9"));
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(69), "{said}");
    assert!(
        said.contains("UDP_ONLY: no way to the relay for 10."),
        "{said}"
    );
    assert!(said.contains("udp, tried for 10."), "{said}");
    assert!(
        said.contains("let the firewall pass UDP to 10.71.1.1:3478"),
        "{said}"
    );
}

#[test]
fn a_wrong_password_is_the_relays_no_and_not_the_firewalls() {
    let Some(rough) = Rough::new() else { return };
    let mut command =
        rough.connect_command("UDP_OVER_TCP", &format!("udp/127.0.0.1:0={SERVER_V4}:9"));
    command.env("RELAY_CONNECT_PASSWORD", "wrong");
    let ended = command.stdin(Stdio::null()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(77), "{said}");
    assert!(said.contains("401"), "{said}");
}

fn carry(mut from: &TcpStream, mut to: &TcpStream, bytes: &[u8]) {
    let mut arrived = vec![0; bytes.len()];
    std::thread::scope(|scope| {
        scope.spawn(move || from.write_all(bytes).unwrap());
        to.read_exact(&mut arrived).unwrap();
    });
    assert!(arrived == bytes, "other bytes than were sent");
}

#[test]
fn connections_go_through_the_relay_each_by_itself() {
    let Some(rough) = Rough::new() else { return };
    let listener = rough
        .server
        .enter(|| Ok(TcpListener::bind((SERVER_V4, 0))?))
        .unwrap();
    let to = listener.local_addr().unwrap();
    let connector = rough.connect("TCP_ONLY", &format!("tcp/127.0.0.1:0={to}"));
    let port = local_port(&connector);
    let mut ends = Vec::new();
    for _ in 0..3 {
        let near = rough
            .client
            .enter(|| Ok(TcpStream::connect(port)?))
            .unwrap();
        let (far, _) = listener.accept().unwrap();
        ends.push((near, far));
    }
    let bytes: Vec<u8> = (0..300_000u32).map(|n| (n % 251) as u8).collect();
    for (near, far) in &ends {
        carry(near, far, &bytes);
        carry(far, near, &bytes);
    }
    for (near, mut far) in ends {
        near.shutdown(std::net::Shutdown::Write).unwrap();
        assert_eq!(far.read(&mut [0; 16]).unwrap(), 0, "the end arrives");
    }
}
