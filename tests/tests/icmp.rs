//! ICMP errors about relayed packets reach the client, whichever path the packets took.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use relay_tests::client::{FromPeer, TurnClient};
use relay_tests::eventually::eventually;
use relay_tests::scene::{CHANNEL, Scene};
use relay_tests::topology::{CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, SERVER_V4, SERVER_V6};

const FAMILIES: [[&str; 3]; 2] = [
    [CLIENT_V4, EDGE_V4, SERVER_V4],
    [CLIENT_V6, EDGE_V6, SERVER_V6],
];

/// Sends until an ICMP error comes back: hosts answer only so often.
fn error_after(client: &mut TurnClient, send: impl Fn(&TurnClient)) -> (SocketAddr, u8, u8, u32) {
    let mut told = None;
    eventually("an ICMP error is told", || {
        send(client);
        let got = client.receive(Duration::from_millis(100)).unwrap();
        if let Some(FromPeer::Icmp {
            peer,
            kind,
            code,
            mtu,
        }) = got
        {
            told = Some((peer, kind, code, mtu));
        }
        told.is_some()
    })
    .unwrap();
    // One for each packet that waited for an answer.
    let quiet = Duration::from_millis(200);
    while client.receive(quiet).unwrap().is_some() {}
    let patient = Some(Duration::from_secs(5));
    client.socket.set_read_timeout(patient).unwrap();
    told.unwrap()
}

fn a_closed_peer(scene: &Scene, in_kernel: bool) {
    for [client, edge, server] in FAMILIES {
        let call = scene.call(client, edge, server);
        if in_kernel {
            scene.wait_for_kernel();
        }
        let (mut client, peer) = (call.client, call.peer.local_addr().unwrap());
        drop(call.peer);
        let before = scene.packets();
        let error = error_after(&mut client, |client| {
            client.send(CHANNEL, b"hello?").unwrap()
        });
        let (kind, code) = if peer.is_ipv4() { (3, 3) } else { (1, 4) };
        assert_eq!(error, (peer, kind, code, 0));
        let after = scene.packets();
        assert_eq!(after.0 > before.0, in_kernel, "{before:?} {after:?}");
        assert!(scene.count("icmp_received", "unreachable") > 0);
    }
}

#[test]
fn a_client_whose_packets_the_kernel_relays_learns_that_its_peer_is_gone() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    a_closed_peer(&scene, true);
}

#[test]
fn a_client_whose_packets_userspace_relays_learns_that_its_peer_is_gone() {
    let Some(scene) = Scene::new("off") else {
        return;
    };
    a_closed_peer(&scene, false);
}

#[test]
fn a_client_learns_that_a_host_is_gone_and_nothing_else_of_its_allocation_suffers() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    let mut call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let nobody: SocketAddr = "10.71.2.99:9".parse().unwrap();
    call.client.permit(nobody).unwrap();
    let error = error_after(&mut call.client, |client| {
        client.send_indication(nobody, b"hello?").unwrap();
    });
    assert_eq!((error.0, error.1, error.2), (nobody, 3, 1));
    call.exchange(50);
}

fn refused(socket: &UdpSocket) -> bool {
    let _ = socket.send(b"hello?");
    let got = socket.recv(&mut [0; 64]).map_err(|error| error.kind());
    got == Err(ErrorKind::ConnectionRefused)
}

#[test]
fn a_client_of_a_forward_is_refused_as_by_the_destination_itself() {
    let Some(scene) = Scene::new("native") else {
        return;
    };
    let across = [
        [CLIENT_V4, EDGE_V4, SERVER_V6],
        [CLIENT_V6, EDGE_V6, SERVER_V4],
    ];
    let paths = FAMILIES.into_iter().chain(across);
    for ([client, edge, server], port) in paths.zip(5004..) {
        let destination = scene.peer(server);
        let to = destination.local_addr().unwrap().to_string();
        let listen = SocketAddr::new(edge.parse().unwrap(), port);
        let listen = format!("udp/{listen}");
        let add = [
            "forward", "add", "--listen", &listen, "--to", &to, "--name", "f",
        ];
        scene.relay.cli(&add).unwrap();
        let client = scene
            .topology
            .client
            .enter(|| Ok(UdpSocket::bind((client, 0))?));
        let client = client.unwrap();
        client.connect((edge, port)).unwrap();
        client
            .set_read_timeout(Some(Duration::from_millis(200)))
            .unwrap();
        client.send(b"hello").unwrap();
        assert_eq!(destination.recv(&mut [0; 64]).unwrap(), 5);
        scene.wait_for_kernel();
        drop(destination);
        let before = scene.packets().0;
        eventually("the client is refused", || refused(&client)).unwrap();
        assert!(scene.packets().0 > before, "through the kernel");
        assert!(scene.count("forward_icmp", "told") > 0);
        let sessions = scene.relay.sessions().unwrap();
        let trouble = sessions[0].trouble.as_deref().unwrap_or_default();
        assert!(trouble.starts_with("port unreachable"), "{trouble}");
        scene.relay.cli(&["forward", "remove", "f"]).unwrap();
    }
}
