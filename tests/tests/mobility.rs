//! A client that moves from UDP to TLS and back while a stream runs both ways (RFC 8016): in the kernel wherever it is on
//! UDP, with nothing lost and no gap anybody would hear.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use relay_tests::client::Refused;
use relay_tests::mobile::{MobileClient, Path, present};
use relay_tests::scene::{CHANNEL, Scene};
use relay_tests::topology::{CLIENT_V4, EDGE_V4, SERVER_V4};
use relay_tests::trust::Trust;

const PERIOD: Duration = Duration::from_millis(2);
const LEG: Duration = Duration::from_millis(600);
/// Each there and back: over two workers, so that about half of them cross from one to the other.
const ROUNDS: usize = 4;
/// Beyond a round trip, which in the lab is some 100 µs when nothing else runs.
const LONGEST_GAP: Duration = Duration::from_millis(100);

/// A numbered packet each way every [`PERIOD`].
struct Flow {
    client: MobileClient,
    peer: UdpSocket,
    sent: Vec<Instant>,
    to_peer: Arrivals,
    to_client: Arrivals,
}

#[derive(Default)]
struct Arrivals {
    numbers: HashSet<u32>,
    last: Option<Instant>,
    gap: Duration,
    /// The longest a packet took.
    transit: Duration,
}

/// What was seen while a flow ran.
struct Leg {
    /// The longest time without an arrival, of both directions.
    gap: Duration,
    /// The slowest packet there and the slowest back.
    round_trip: Duration,
    /// The longest this test itself was kept from sending and looking.
    stall: Duration,
}

impl Arrivals {
    fn take(&mut self, data: &[u8], sent: &[Instant]) {
        let number = u32::from_be_bytes(data[..4].try_into().expect("a number"));
        assert!(self.numbers.insert(number), "{number} came twice");
        let now = Instant::now();
        self.transit = self.transit.max(now - sent[number as usize]);
        let since = self.last.replace(now).map(|last| now - last);
        self.gap = self.gap.max(since.unwrap_or_default());
    }
}

impl Flow {
    /// Lets it run until everything has arrived.
    fn run(&mut self) -> Leg {
        for arrivals in [&mut self.to_peer, &mut self.to_client] {
            (arrivals.last, arrivals.gap) = (None, Duration::ZERO);
            arrivals.transit = Duration::ZERO;
        }
        let (start, first) = (Instant::now(), self.sent.len());
        let (mut looked, mut stall) = (start, Duration::ZERO);
        while start.elapsed() < LEG || !self.client.has_moved() {
            assert!(start.elapsed() < 10 * LEG, "no answer to the move");
            let number = self.sent.len();
            if start.elapsed() >= PERIOD * (number - first) as u32 {
                let data = [&(number as u32).to_be_bytes()[..], &[7; 160]].concat();
                self.sent.push(Instant::now());
                self.client.send(CHANNEL, &data).unwrap();
                self.peer.send_to(&data, self.client.relayed).unwrap();
            }
            self.receive();
            stall = stall.max(looked.elapsed());
            looked = Instant::now();
        }
        let drained = Instant::now();
        while self.arrived() != [self.sent.len(); 2] {
            let (waited, arrived) = (drained.elapsed(), self.arrived());
            assert!(
                waited < Duration::from_secs(2),
                "of {} packets {arrived:?} arrived at the peer and at the client",
                self.sent.len(),
            );
            self.receive();
        }
        Leg {
            gap: self.to_peer.gap.max(self.to_client.gap),
            round_trip: self.to_peer.transit + self.to_client.transit,
            stall,
        }
    }

    fn receive(&mut self) {
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = self.peer.recv_from(&mut buffer) {
            assert_eq!(from, self.client.relayed, "the same relayed address");
            self.to_peer.take(&buffer[..length], &self.sent);
        }
        for data in self.client.poll().unwrap() {
            self.to_client.take(&data, &self.sent);
        }
    }

    fn arrived(&self) -> [usize; 2] {
        [&self.to_peer, &self.to_client].map(|arrivals| arrivals.numbers.len())
    }

    fn sent_since(&self, before: usize) -> u64 {
        2 * (self.sent.len() - before) as u64
    }
}

/// One checksum in 65536 looks unfinished and takes the slow path.
fn in_the_kernel((kernel, userspace): (u64, u64), sent: u64) {
    assert!(
        kernel + userspace == sent && userspace <= 2,
        "{kernel} and {userspace} of {sent}"
    );
}

#[test]
fn a_stream_goes_on_while_its_client_moves_from_udp_to_tls_and_back() {
    let trust = Trust::new().unwrap();
    let certificate = trust.argument();
    let more = [
        "--workers",
        "2",
        "--user",
        "mallory:secret",
        "--certificate",
        &certificate,
    ];
    let Some(scene) = Scene::with("native", &more) else {
        return;
    };
    let namespace = &scene.topology.client;
    let (local, edge) = (CLIENT_V4.parse().unwrap(), EDGE_V4.parse().unwrap());
    let [udp, tls] = [3478, 443].map(|port| SocketAddr::new(edge, port));
    let by_udp = || Path::udp(namespace, local, udp).unwrap();
    let peer = scene.peer(SERVER_V4);
    peer.set_nonblocking(true).unwrap();
    let mut client = MobileClient::allocate(by_udp(), "user", "password").unwrap();
    client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
    scene.wait_for_kernel();
    let mut flow = Flow {
        client,
        peer,
        sent: Vec::new(),
        to_peer: Arrivals::default(),
        to_client: Arrivals::default(),
    };
    flow.run();
    in_the_kernel(scene.packets(), flow.sent_since(0));
    for round in 0..ROUNDS {
        let thief = present(by_udp(), "mallory", "secret", &flow.client.ticket);
        let refused: Refused = thief.unwrap_err().downcast().expect("an error answer");
        assert_eq!(refused.code, 441, "a stolen ticket");

        for (to, name) in [
            (Path::tls(namespace, tls, &trust).unwrap(), "TLS"),
            (by_udp(), "UDP"),
        ] {
            flow.client.start_move(to).unwrap();
            let Leg { gap, stall, .. } = flow.run();
            let before = flow.sent.len();
            let (kernel, userspace) = scene.packets();
            // As slow as this machine is now, moves apart.
            let round_trip = flow.run().round_trip;
            println!(
                "round {round}, to {name}: {gap:.1?} without a packet, round trip {round_trip:.1?}, test stalled {stall:.1?}"
            );
            let longest = round_trip + stall + LONGEST_GAP;
            assert!(gap < longest, "round {round}, to {name}: {gap:.1?}");
            let now = scene.packets();
            let took = (now.0 - kernel, now.1 - userspace);
            match name {
                "TLS" => assert_eq!(took, (0, flow.sent_since(before))),
                _ => in_the_kernel(took, flow.sent_since(before)),
            }
        }
    }
    let passed_on = scene.count("former_path_messages", "");
    println!("{passed_on} packets were passed on between workers");
    assert_eq!(scene.count("turn_allocations_moved", ""), 2 * ROUNDS as u64);
    assert_eq!(scene.relay.sessions().unwrap().len(), 1);
}
