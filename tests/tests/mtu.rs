//! Nothing is sent into a path that it does not fit: it arrives in fragments, or its sender is told.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use relay_tests::client::{FromPeer, TurnClient};
use relay_tests::eventually::eventually;
use relay_tests::netns::NetNs;
use relay_tests::scene::{CHANNEL, Call, Scene};
use relay_tests::socket_option::never_fragment;
use relay_tests::topology::{
    CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, SERVER_CARD, SERVER_V4, SERVER_V6,
};

const BEYOND_V4: &str = "10.71.3.2";
const BEYOND_V6: &str = "fd71:3::2";
const NARROW: u32 = 1304;
/// Fits the card of the edge, not the path behind it.
const LARGE: [u8; 1400] = [7; 1400];

/// A host behind the server, by a narrow link.
fn beyond(scene: &Scene) -> NetNs {
    let (edge, server) = (&scene.topology.edge, &scene.topology.server);
    let beyond = NetNs::new("beyond").unwrap();
    let name = beyond.name();
    let ip = |namespace: &NetNs, line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        namespace.ip(&words).unwrap();
    };
    let mtu = NARROW.to_string();
    ip(
        server,
        &format!("link add inner mtu {mtu} type veth peer name eth0 mtu {mtu} netns {name}"),
    );
    for (namespace, card, last) in [(server, "inner", 1), (&beyond, "eth0", 2)] {
        ip(namespace, &format!("addr add 10.71.3.{last}/24 dev {card}"));
        ip(
            namespace,
            &format!("addr add fd71:3::{last}/64 dev {card} nodad"),
        );
        ip(namespace, &format!("link set {card} up"));
        namespace
            .run("ethtool", &["-K", card, "tx", "off"])
            .unwrap();
    }
    ip(&beyond, "route add default via 10.71.3.1");
    ip(&beyond, "-6 route add default via fd71:3::1");
    ip(edge, &format!("route add 10.71.3.0/24 via {SERVER_V4}"));
    ip(edge, &format!("-6 route add fd71:3::/64 via {SERVER_V6}"));
    let forward = "echo 1 > /proc/sys/net/ipv4/ip_forward; \
                   echo 1 > /proc/sys/net/ipv6/conf/all/forwarding";
    server.run("sh", &["-c", forward]).unwrap();
    beyond
}

/// A client that never fragments, of a new forward to `destination` that runs in the kernel.
fn forwarded(
    scene: &Scene,
    client: &str,
    (edge, port): (&str, u16),
    destination: &UdpSocket,
) -> UdpSocket {
    let to = destination.local_addr().unwrap().to_string();
    let listen = format!("udp/{}", SocketAddr::new(edge.parse().unwrap(), port));
    let add = ["forward", "add", "--listen", &listen, "--to", &to];
    scene.relay.cli(&add).unwrap();
    let client = socket(&scene.topology.client, client);
    never_fragment(&client);
    client.connect((edge, port)).unwrap();
    client.send(b"hello").unwrap();
    assert_eq!(destination.recv(&mut [0; 2000]).unwrap(), 5);
    scene.wait_for_kernel();
    client
}

fn socket(namespace: &NetNs, address: &str) -> UdpSocket {
    let socket = namespace
        .enter(|| Ok(UdpSocket::bind((address, 0))?))
        .unwrap();
    let patient = Some(Duration::from_secs(5));
    socket.set_read_timeout(patient).unwrap();
    socket
}

fn error_of(client: &mut TurnClient) -> Option<(SocketAddr, u8, u8, u32)> {
    let got = client.receive(Duration::from_millis(100)).unwrap();
    match got {
        Some(FromPeer::Icmp {
            peer,
            kind,
            code,
            mtu,
        }) => Some((peer, kind, code, mtu)),
        _ => None,
    }
}

#[test]
fn a_turn_client_learns_of_a_narrow_path_and_what_does_not_fit_it_arrives_in_fragments() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    let beyond = beyond(&scene);
    for [client, edge, host] in [
        [CLIENT_V4, EDGE_V4, BEYOND_V4],
        [CLIENT_V6, EDGE_V6, BEYOND_V6],
    ] {
        let mut client = scene.client(client, edge);
        never_fragment(&client.socket);
        let peer = socket(&beyond, host);
        let at = peer.local_addr().unwrap();
        client.bind(CHANNEL, at).unwrap();
        scene.wait_for_kernel();
        let mut told = None;
        eventually("the client is told", || {
            client.send(CHANNEL, &LARGE).unwrap();
            told = error_of(&mut client);
            told.is_some()
        })
        .unwrap();
        let (kind, code) = if at.is_ipv4() { (3, 4) } else { (2, 0) };
        assert_eq!(told, Some((at, kind, code, NARROW)));
        let (before, packets) = (scene.verdict("too_big"), scene.packets());
        peer.set_nonblocking(true).unwrap();
        while peer.recv(&mut [0; 2000]).is_ok() {}
        peer.set_nonblocking(false).unwrap();
        client.send(CHANNEL, &LARGE).unwrap();
        assert_eq!(peer.recv(&mut [0; 2000]).unwrap(), LARGE.len());
        assert!(scene.verdict("too_big") > before);
        client.send(CHANNEL, b"small").unwrap();
        assert_eq!(peer.recv(&mut [0; 2000]).unwrap(), 5);
        let now = scene.packets();
        assert_eq!((now.0 - packets.0, now.1 - packets.1), (1, 1));
    }
}

#[test]
fn a_client_of_a_forward_learns_of_a_narrow_path_as_if_it_were_its_own() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    let beyond = beyond(&scene);
    for ([client, edge, host], port) in [
        [CLIENT_V4, EDGE_V4, BEYOND_V4],
        [CLIENT_V6, EDGE_V6, BEYOND_V6],
    ]
    .into_iter()
    .zip([5004, 5005])
    {
        let destination = socket(&beyond, host);
        let client = forwarded(&scene, client, (edge, port), &destination);
        eventually("the client knows how narrow the path is", || {
            let sent = client.send(&LARGE);
            let _ = client
                .set_nonblocking(true)
                .and_then(|()| client.recv(&mut [0; 9]));
            sent.is_err_and(|error| error.raw_os_error() == Some(libc::EMSGSIZE))
        })
        .unwrap();
        // What fits goes on in the kernel.
        let packets = scene.packets();
        destination.set_nonblocking(true).unwrap();
        while destination.recv(&mut [0; 2000]).is_ok() {}
        destination.set_nonblocking(false).unwrap();
        client.send(&LARGE[..1200]).unwrap();
        assert_eq!(destination.recv(&mut [0; 2000]).unwrap(), 1200);
        assert_eq!(scene.packets().0, packets.0 + 1);
    }
}

#[test]
fn what_is_too_big_for_our_own_card_arrives_in_fragments_and_the_client_of_a_forward_is_told() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    let mtu = NARROW.to_string();
    let link = ["link", "set", SERVER_CARD, "mtu", &mtu];
    scene.topology.edge.ip(&link).unwrap();
    for ([client, edge, server], port) in [
        [CLIENT_V4, EDGE_V4, SERVER_V4],
        [CLIENT_V6, EDGE_V6, SERVER_V6],
    ]
    .into_iter()
    .zip([5004, 5005])
    {
        let destination = scene.peer(server);
        let client = forwarded(&scene, client, (edge, port), &destination);
        client.send(&LARGE).unwrap();
        assert_eq!(destination.recv(&mut [0; 2000]).unwrap(), LARGE.len());
        eventually("the client knows how narrow the path is", || {
            let sent = client.send(&LARGE);
            sent.is_err_and(|error| error.raw_os_error() == Some(libc::EMSGSIZE))
        })
        .unwrap();
    }
}

#[test]
fn dont_fragment_is_honoured_and_what_then_does_not_fit_our_own_card_is_told() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    let mtu = NARROW.to_string();
    let link = ["link", "set", SERVER_CARD, "mtu", &mtu];
    scene.topology.edge.ip(&link).unwrap();
    for [client, edge, server] in [
        [CLIENT_V4, EDGE_V4, SERVER_V4],
        [CLIENT_V6, EDGE_V6, SERVER_V6],
    ] {
        let (mut client, peer) = (scene.client(client, edge), scene.peer(server));
        let at = peer.local_addr().unwrap();
        client.permit(at).unwrap();
        client.send_whole(at, &LARGE).unwrap();
        let (kind, code) = if at.is_ipv4() { (3, 4) } else { (2, 0) };
        let told = std::iter::repeat_with(|| error_of(&mut client)).take(20);
        let told = told.flatten().next();
        assert_eq!(told, Some((at, kind, code, NARROW)));
        client.send_indication(at, &LARGE).unwrap();
        assert_eq!(peer.recv(&mut [0; 2000]).unwrap(), LARGE.len());
        client.send_whole(at, b"small").unwrap();
        assert_eq!(peer.recv(&mut [0; 2000]).unwrap(), 5);
        peer.set_nonblocking(true).unwrap();
        let nothing = peer.recv(&mut [0; 2000]).map_err(|error| error.kind());
        assert_eq!(nothing, Err(ErrorKind::WouldBlock));
    }
}

#[test]
fn datagrams_in_fragments_arrive_whole_in_both_families_and_directions() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    // IPv6 says in an extension header that it is a fragment.
    let whole = |call: &Call, verdict: &str| {
        scene.wait_for_kernel();
        for length in [2000, 4000, 9000] {
            let data: Vec<u8> = (0..length).map(|i| (i % 251) as u8).collect();
            let before = (scene.verdict(verdict), scene.packets());
            call.to_peer(&data);
            call.to_client(&data);
            let after = (scene.verdict(verdict), scene.packets());
            let fragments = 2 * (length as u64).div_ceil(1480);
            assert!(after.0 - before.0 >= fragments, "{length}");
            // All of them in userspace, together.
            assert_eq!(after.1.0, before.1.0);
            assert_eq!(after.1.1 - before.1.1, 2);
        }
    };
    whole(&scene.call(CLIENT_V4, EDGE_V4, SERVER_V4), "fragment");
    let v6 = scene.call(CLIENT_V6, EDGE_V6, SERVER_V6);
    whole(&v6, "extension_header");
}
