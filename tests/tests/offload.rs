//! Senders on the same host leave UDP checksums to hardware there is none of (containers, machines beside this one).
//! Whatever path their packets take, they arrive, and right: the receivers' kernels check every one.

use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use nix::sys::signal::Signal;
use relay_tests::client::{FromPeer, TurnClient};
use relay_tests::netns::NetNs;
use relay_tests::packet::{Checksum, Udp, channel_data, udp};
use relay_tests::scene::{CHANNEL, Call, Scene};
use relay_tests::socket_option::set_option;
use relay_tests::topology::{
    CLIENT_CARD, CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, OUTER_CARD, SERVER_CARD, SERVER_V4,
    SERVER_V6,
};

/// Every card with transmit offload on.
fn scene(xdp: &str) -> Option<Scene> {
    // What clients of one family get of the other.
    let relayed = ["--relay-address", EDGE_V4, "--relay-address", EDGE_V6];
    let scene = Scene::with(xdp, &relayed)?;
    let topology = &scene.topology;
    for (namespace, card) in [
        (&topology.client, OUTER_CARD),
        (&topology.server, OUTER_CARD),
        (&topology.edge, CLIENT_CARD),
        (&topology.edge, SERVER_CARD),
    ] {
        namespace.run("ethtool", &["-K", card, "tx", "on"]).unwrap();
    }
    Some(scene)
}

/// Datagrams that this host's kernel refused for their checksum, in either family.
fn refused(namespace: &NetNs) -> u64 {
    let sum = "awk '/^Udp: [0-9]/ { n += $8 } FILENAME ~ /snmp6/ && $1 == \"Udp6InCsumErrors\" { n += $2 } \
               END { print n }' /proc/net/snmp /proc/net/snmp6";
    let count = namespace.run("sh", &["-c", sum]).unwrap();
    count.trim().parse().unwrap()
}

fn nothing_was_refused(scene: &Scene) {
    for host in [
        &scene.topology.client,
        &scene.topology.edge,
        &scene.topology.server,
    ] {
        assert_eq!(refused(host), 0, "{}", host.name());
    }
}

const FAMILIES: [[&str; 3]; 2] = [
    [CLIENT_V4, EDGE_V4, SERVER_V4],
    [CLIENT_V6, EDGE_V6, SERVER_V6],
];
const ACROSS: [[&str; 3]; 2] = [
    [CLIENT_V4, EDGE_V4, SERVER_V6],
    [CLIENT_V6, EDGE_V6, SERVER_V4],
];

/// A client of one family with a channel to a peer of the other.
fn call_across(scene: &Scene, [client, edge, server]: [&str; 3]) -> Call {
    let socket = scene
        .topology
        .client
        .enter(|| Ok(UdpSocket::bind((client, 0))?));
    let to = SocketAddr::new(edge.parse().unwrap(), 3478);
    let peer = scene.peer(server);
    let at = peer.local_addr().unwrap();
    let mut client =
        TurnClient::allocate_family(socket.unwrap(), to, at.is_ipv4(), "user", "password").unwrap();
    client.bind(CHANNEL, at).unwrap();
    let patient = Some(Duration::from_secs(5));
    client.socket.set_read_timeout(patient).unwrap();
    Call { client, peer }
}

fn every_path_arrives(scene: &Scene, in_kernel: bool) {
    let plain = FAMILIES.map(|[client, edge, server]| scene.call(client, edge, server));
    let across = ACROSS.map(|path| call_across(scene, path));
    if in_kernel {
        scene.wait_for_kernel();
    }
    for call in plain.iter().chain(&across) {
        let before = scene.packets();
        call.exchange(50);
        for length in [0, 1, 1199, 1200, 1400] {
            call.to_peer(&vec![0xa5; length]);
            call.to_client(&vec![0x5a; length]);
        }
        padded(call);
        let (kernel, userspace) = scene.packets();
        let ways = (kernel - before.0, userspace - before.1);
        let expected = if in_kernel { (113, 0) } else { (0, 113) };
        assert_eq!(ways, expected, "{}", call.client.server);
        // In fragments: always userspace.
        call.to_peer(&[1; 4000]);
        call.to_client(&[2; 4000]);
        train(call);
    }
    indications(scene);
    hairpin(scene);
}

/// ChannelData with padding, which is cut off.
fn padded(call: &Call) {
    for padding in 1..=3 {
        let framed = channel_data(CHANNEL, b"padded", padding);
        call.client.socket.send(&framed).unwrap();
        let mut buffer = [0; 64];
        let length = call.peer.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"padded");
    }
}

/// One call of the sender, cut into datagrams on its way.
fn train(call: &Call) {
    let segment = 104u16;
    let framed: Vec<u8> = (0..10u8)
        .flat_map(|i| channel_data(CHANNEL, &[i; 100], 0))
        .collect();
    let set = |size: u16| {
        let socket = &call.client.socket;
        set_option(
            socket,
            libc::IPPROTO_UDP,
            libc::UDP_SEGMENT,
            &i32::from(size).to_ne_bytes(),
        );
    };
    set(segment);
    call.client.socket.send(&framed).unwrap();
    set(0);
    let mut got: Vec<u8> = (0..10)
        .map(|_| {
            let mut buffer = [0; 200];
            assert_eq!(call.peer.recv(&mut buffer).unwrap(), 100);
            buffer[0]
        })
        .collect();
    got.sort_unstable();
    assert_eq!(got, (0..10).collect::<Vec<u8>>());
}

fn indications(scene: &Scene) {
    for [client, edge, server] in FAMILIES {
        let (mut client, peer) = (scene.client(client, edge), scene.peer(server));
        let at = peer.local_addr().unwrap();
        client.permit(at).unwrap();
        client.send_indication(at, b"indicated").unwrap();
        let mut buffer = [0; 64];
        assert_eq!(peer.recv(&mut buffer).unwrap(), 9);
        peer.send_to(b"back", client.relayed).unwrap();
        let got = client.receive(Duration::from_secs(5)).unwrap();
        let data = b"back".to_vec();
        assert_eq!(got, Some(FromPeer::Indication { peer: at, data }));
    }
}

fn hairpin(scene: &Scene) {
    let mut a = scene.client(CLIENT_V4, EDGE_V4);
    let mut b = scene.client(CLIENT_V4, EDGE_V4);
    a.bind(CHANNEL, b.relayed).unwrap();
    b.bind(CHANNEL + 1, a.relayed).unwrap();
    b.socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    for i in 0..20u32 {
        a.send(CHANNEL, &i.to_be_bytes()).unwrap();
        let mut buffer = [0; 64];
        let length = b.socket.recv(&mut buffer).unwrap();
        assert_eq!(
            &buffer[..length],
            channel_data(CHANNEL + 1, &i.to_be_bytes(), 0)
        );
    }
}

#[test]
fn checksums_left_to_hardware_are_made_right_in_the_kernel_on_every_path() {
    let Some(scene) = scene("native") else { return };
    every_path_arrives(&scene, true);
    assert_eq!(scene.verdict("partial_checksum"), 0);
    nothing_was_refused(&scene);
}

#[test]
fn on_generic_cards_they_are_userspaces() {
    let Some(scene) = scene("generic") else {
        return;
    };
    every_path_arrives(&scene, false);
    assert!(scene.verdict("partial_checksum") > 400);
    nothing_was_refused(&scene);
}

#[test]
fn without_xdp_they_are_as_right() {
    let Some(scene) = scene("off") else { return };
    every_path_arrives(&scene, false);
    nothing_was_refused(&scene);
}

#[test]
fn forwards_of_every_pair_of_families_carry_them_in_the_kernel() {
    let Some(scene) = scene("native") else { return };
    for ([client, edge, server], port) in FAMILIES.into_iter().chain(ACROSS).zip(5004..) {
        let destination = scene.peer(server);
        let to = destination.local_addr().unwrap().to_string();
        let listen = SocketAddr::new(edge.parse().unwrap(), port);
        let add = [
            "forward",
            "add",
            "--listen",
            &format!("udp/{listen}"),
            "--to",
            &to,
        ];
        scene.relay.cli(&add).unwrap();
        let client = scene
            .topology
            .client
            .enter(|| Ok(UdpSocket::bind((client, 0))?));
        let client = client.unwrap();
        client
            .set_read_timeout(Some(Duration::from_secs(5)))
            .unwrap();
        client.connect(listen).unwrap();
        client.send(b"hello").unwrap();
        let mut buffer = [0; 2000];
        let (_, back) = destination.recv_from(&mut buffer).unwrap();
        scene.wait_for_kernel();
        let before = scene.packets();
        for length in [1, 2, 3, 100, 1201] {
            client.send(&vec![length as u8; length]).unwrap();
            let got = destination.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..got], vec![length as u8; length]);
            destination.send_to(&buffer[..got], back).unwrap();
            assert_eq!(client.recv(&mut buffer).unwrap(), length);
        }
        assert_eq!(scene.packets().0 - before.0, 10);
    }
    nothing_was_refused(&scene);
}

#[test]
fn they_arrive_although_userspace_stands_still() {
    let Some(scene) = scene("native") else { return };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    scene.wait_for_kernel();
    scene.relay.signal(Signal::SIGSTOP).unwrap();
    call.exchange(100);
    scene.relay.signal(Signal::SIGCONT).unwrap();
    nothing_was_refused(&scene);
}

/// Without it the tests above prove nothing.
#[test]
fn a_wrong_checksum_is_relayed_as_wrong_and_refused_by_the_receiver() {
    let Some(scene) = scene("native") else { return };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    scene.wait_for_kernel();
    let damaged = Udp {
        checksum: Checksum::Wrong,
        ..udp(
            call.peer.local_addr().unwrap(),
            call.client.relayed,
            b"damaged",
        )
    };
    let raw = scene.topology.server.enter(|| {
        let kind = socket2::Type::RAW;
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, kind, Some(libc::IPPROTO_RAW.into()))?;
        Ok(socket)
    });
    let to = socket2::SockAddr::from(call.client.relayed);
    raw.unwrap().send_to(&damaged.bytes()[14..], &to).unwrap();
    call.to_client(b"the next one is right");
    assert_eq!(refused(&scene.topology.client), 1);
}
