//! The default gateway changes under running calls: what is on its way to the old one may be lost, nothing else, and the
//! kernel relays to the new one at once.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

use relay_tests::client::TurnClient;
use relay_tests::eventually::{eventually, within};
use relay_tests::netns::NetNs;
use relay_tests::privileged;
use relay_tests::relay::Relay;
use relay_tests::scene::arguments;
use relay_tests::topology::one_armed::{CARD, OneArmed};
use relay_tests::topology::{CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6};

const CHANNEL: u16 = 0x4001;
const BEYOND_V4: &str = "10.71.9.9";
const BEYOND_V6: &str = "fd71:9::9";

/// An edge behind two gateways, and a host behind both.
struct Lab {
    relay: Relay,
    gateways: [Gateway; 2],
    beyond: NetNs,
    segment: OneArmed,
}

struct Gateway {
    namespace: NetNs,
    v4: String,
    v6: String,
}

fn ip(namespace: &NetNs, line: &str) {
    let words: Vec<_> = line.split(' ').collect();
    namespace.ip(&words).unwrap();
}

impl Lab {
    fn new() -> Option<Self> {
        if !privileged::is_root() {
            return None;
        }
        let segment = OneArmed::new().unwrap();
        let beyond = NetNs::new("beyond").unwrap();
        ip(&beyond, &format!("addr add {BEYOND_V4}/32 dev lo"));
        ip(&beyond, &format!("addr add {BEYOND_V6}/128 dev lo nodad"));
        let gateways = [1, 2].map(|number| gateway(&segment, &beyond, number));
        // Answers always take the second: only the way there changes.
        ip(&beyond, "route add default via 10.71.12.1");
        ip(&beyond, "-6 route add default via fd71:12::1");
        default_route(&segment.edge, &gateways[0]);
        let relay = Relay::start(&segment.edge, &arguments(&[CARD], "native")).unwrap();
        Some(Self {
            relay,
            gateways,
            beyond,
            segment,
        })
    }

    fn call(&self, client: &str, edge: &str, host: &str) -> (TurnClient, UdpSocket) {
        let udp = |namespace: &NetNs, address: &str| {
            let socket = namespace.enter(|| Ok(UdpSocket::bind((address, 0))?));
            let socket = socket.unwrap();
            let patient = Some(Duration::from_millis(200));
            socket.set_read_timeout(patient).unwrap();
            socket
        };
        let peer = udp(&self.beyond, host);
        let server = SocketAddr::new(edge.parse::<IpAddr>().unwrap(), 3478);
        let socket = udp(&self.segment.client, client);
        let mut client = TurnClient::allocate(socket, server, "user", "password").unwrap();
        client.bind(CHANNEL, peer.local_addr().unwrap()).unwrap();
        (client, peer)
    }

    fn all_in_kernel(&self) -> bool {
        let sessions = self.relay.sessions().unwrap();
        !sessions.is_empty() && sessions.iter().all(|s| s.runs_in == "kernel")
    }

    fn packets(&self) -> (u64, u64) {
        let status = self.relay.status().unwrap();
        (status.kernel.packets, status.userspace.packets)
    }
}

fn gateway(segment: &OneArmed, beyond: &NetNs, number: u8) -> Gateway {
    let (v4, v6) = (format!("10.71.1.10{number}"), format!("fd71:1::10{number}"));
    let label = format!("gw{number}");
    let namespace = segment.join(&label, [&v4, &v6]).unwrap();
    let name = beyond.name();
    ip(
        &namespace,
        &format!("link add inner type veth peer name {label} netns {name}"),
    );
    for (host, card, last) in [(&namespace, "inner", 1), (beyond, &label[..], 2)] {
        ip(
            host,
            &format!("addr add 10.71.1{number}.{last}/24 dev {card}"),
        );
        ip(
            host,
            &format!("addr add fd71:1{number}::{last}/64 dev {card} nodad"),
        );
        ip(host, &format!("link set {card} up"));
        host.run("ethtool", &["-K", card, "tx", "off"]).unwrap();
    }
    ip(
        &namespace,
        &format!("route add {BEYOND_V4} via 10.71.1{number}.2"),
    );
    ip(
        &namespace,
        &format!("-6 route add {BEYOND_V6} via fd71:1{number}::2"),
    );
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward; \
                   echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
    namespace.run("sh", &["-c", forward]).unwrap();
    Gateway { namespace, v4, v6 }
}

fn default_route(edge: &NetNs, to: &Gateway) {
    ip(edge, &format!("route replace default via {}", to.v4));
    ip(edge, &format!("-6 route replace default via {}", to.v6));
}

/// Sends a packet a millisecond to the peer while `change` runs and some time after it; how many were lost.
fn lost_during(client: &TurnClient, peer: &UdpSocket, change: impl FnOnce()) -> u64 {
    let (stop, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let start = Instant::now();
            while !stop.load(SeqCst) {
                let due = start + Duration::from_millis(sent.fetch_add(1, SeqCst));
                std::thread::sleep(due.saturating_duration_since(Instant::now()));
                client.send(CHANNEL, b"steady").unwrap();
            }
        });
        let received = scope.spawn(|| {
            let mut received = 0;
            while peer.recv(&mut [0; 64]).is_ok() {
                received += 1;
            }
            received
        });
        let reached = |count| {
            within(Duration::from_secs(10), "packets", || {
                (sent.load(SeqCst) >= count).then_some(())
            })
        };
        reached(100).unwrap();
        change();
        reached(sent.load(SeqCst) + 500).unwrap();
        stop.store(true, SeqCst);
        let received: u64 = received.join().unwrap();
        sent.load(SeqCst) - received
    })
}

#[test]
fn a_new_default_gateway_takes_over_with_no_more_lost_than_was_on_its_way() {
    let Some(lab) = Lab::new() else { return };
    let edge = &lab.segment.edge;
    let calls = [
        (CLIENT_V4, EDGE_V4, BEYOND_V4),
        (CLIENT_V6, EDGE_V6, BEYOND_V6),
    ]
    .map(|(client, edge, host)| lab.call(client, edge, host));
    for (client, peer) in &calls {
        // The first packets, while neighbours are resolved.
        eventually("the peer is reached", || {
            client.send(CHANNEL, b"first").unwrap();
            peer.recv(&mut [0; 64]).is_ok()
        })
        .unwrap();
        while peer.recv(&mut [0; 64]).is_ok() {}
    }
    eventually("sessions run in the kernel", || lab.all_in_kernel()).unwrap();
    let [old, new] = &lab.gateways;
    for (to, (client, peer)) in [new, old].into_iter().zip(&calls) {
        let before = lab.packets();
        // The new one is not resolved yet, and the old one still takes what is sent to it.
        let lost = lost_during(client, peer, || default_route(edge, to));
        let after = lab.packets();
        assert_eq!(lost, 0, "{before:?} {after:?}");
        // The other session has no traffic that would resolve its new gateway at once.
        eventually("both run in the kernel", || lab.all_in_kernel()).unwrap();
        let before = lab.packets();
        client.send(CHANNEL, b"and on").unwrap();
        peer.recv(&mut [0; 64]).unwrap();
        assert_eq!(lab.packets().0 - before.0, 1);
    }
}

#[test]
fn a_gateway_that_dies_loses_what_is_sent_to_it_until_the_route_says_so() {
    let Some(lab) = Lab::new() else { return };
    let edge = &lab.segment.edge;
    let (client, peer) = lab.call(CLIENT_V4, EDGE_V4, BEYOND_V4);
    eventually("the peer is reached", || {
        client.send(CHANNEL, b"first").unwrap();
        peer.recv(&mut [0; 64]).is_ok()
    })
    .unwrap();
    eventually("sessions run in the kernel", || lab.all_in_kernel()).unwrap();
    let [old, new] = &lab.gateways;
    let lost = lost_during(&client, &peer, || {
        ip(&old.namespace, &format!("link set {CARD} down"));
        ip(edge, "route del default");
        default_route(edge, new);
    });
    // Between the first command and the last: three processes are started.
    assert!(lost < 300, "{lost}");
    assert!(lab.all_in_kernel());
    // And a host without any route says so, and goes on when it has one.
    ip(edge, "route del default");
    eventually("the session says that there is no route", || {
        let sessions = lab.relay.sessions().unwrap();
        let reason = sessions[0].reason.clone().unwrap_or_default();
        sessions[0].runs_in == "userspace" && reason.starts_with("no route to 10.71.9.9")
    })
    .unwrap();
    default_route(edge, new);
    eventually("sessions run in the kernel", || lab.all_in_kernel()).unwrap();
    client.send(CHANNEL, b"and on").unwrap();
    assert_eq!(peer.recv(&mut [0; 64]).unwrap(), 6);
}
