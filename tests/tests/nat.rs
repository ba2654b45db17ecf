//! Behind a 1:1 NAT: clients know each other by public addresses that no card of the edge has.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use relay_tests::client::{FromPeer, TurnClient};
use relay_tests::packet::channel_data;
use relay_tests::scene::{CHANNEL, Scene};
use relay_tests::topology::{CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6};

const PUBLIC_V4: &str = "203.0.113.7";
const PUBLIC_V6: &str = "2001:db8:7::7";

/// Client, edge and its public address of each family.
const FAMILIES: [[&str; 3]; 2] = [
    [CLIENT_V4, EDGE_V4, PUBLIC_V4],
    [CLIENT_V6, EDGE_V6, PUBLIC_V6],
];

fn scene(xdp: &str) -> Option<Scene> {
    let pair = |local, public| format!("{local}={public}");
    let (v4, v6) = (pair(EDGE_V4, PUBLIC_V4), pair(EDGE_V6, PUBLIC_V6));
    Scene::with(
        xdp,
        &["--advertise", &v4, "--advertise", &v6, "--secret", "s"],
    )
}

/// Two clients with channels to each other's public relayed address.
fn pair(scene: &Scene, client: &str, edge: &str, public: &str) -> (TurnClient, TurnClient) {
    let (mut a, mut b) = (scene.client(client, edge), scene.client(client, edge));
    let public: IpAddr = public.parse().unwrap();
    assert_eq!((a.relayed.ip(), b.relayed.ip()), (public, public));
    a.bind(CHANNEL, b.relayed).unwrap();
    b.bind(CHANNEL + 1, a.relayed).unwrap();
    (a, b)
}

fn exchange(a: &TurnClient, b: &TurnClient, count: u32) {
    let mut buffer = [0; 64];
    for client in [a, b] {
        let limit = Some(Duration::from_secs(5));
        client.socket.set_read_timeout(limit).unwrap();
    }
    for data in (0..count).map(u32::to_be_bytes) {
        a.send(CHANNEL, &data).unwrap();
        let length = b.socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], channel_data(CHANNEL + 1, &data, 0));
        b.send(CHANNEL + 1, &data).unwrap();
        let length = a.socket.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], channel_data(CHANNEL, &data, 0));
    }
}

#[test]
fn two_clients_behind_their_public_addresses_meet_in_the_kernel_in_one_pass() {
    let Some(scene) = scene("native") else { return };
    let pairs = FAMILIES.map(|[client, edge, public]| pair(&scene, client, edge, public));
    scene.wait_for_kernel();
    for (a, b) in pairs {
        let before = scene.packets();
        exchange(&a, &b, 100);
        let after = scene.packets();
        let one_pass = 199..=201;
        assert!(
            one_pass.contains(&(after.0 - before.0)),
            "{before:?} {after:?}"
        );
    }
}

#[test]
fn two_clients_behind_their_public_addresses_meet_in_userspace() {
    let Some(scene) = scene("off") else { return };
    for [client, edge, public] in FAMILIES {
        let (a, b) = pair(&scene, client, edge, public);
        exchange(&a, &b, 20);
    }
    assert_eq!(scene.packets().0, 0);
}

#[test]
fn indications_name_the_public_address_of_a_client_behind_it() {
    let Some(scene) = scene("native") else { return };
    for [client, edge, _] in FAMILIES {
        let (mut a, mut b) = (scene.client(client, edge), scene.client(client, edge));
        a.permit(b.relayed).unwrap();
        b.permit(a.relayed).unwrap();
        a.send_indication(b.relayed, b"hello").unwrap();
        let hello = b.receive(Duration::from_secs(5)).unwrap();
        let expected = FromPeer::Indication {
            peer: a.relayed,
            data: b"hello".to_vec(),
        };
        assert_eq!(hello, Some(expected));
    }
}

#[test]
fn a_public_address_is_as_closed_as_the_local_one_and_is_what_clients_are_told() {
    let Some(scene) = scene("native") else { return };
    let mut client = scene.client(CLIENT_V4, EDGE_V4);
    for port in [3478, 9] {
        let own = SocketAddr::new(PUBLIC_V4.parse().unwrap(), port);
        let refused = client.bind(CHANNEL, own).unwrap_err().to_string();
        assert!(refused.contains("403"), "{refused}");
    }
    let servers = scene.relay.cli(&["credentials", "--user", "u"]).unwrap();
    assert!(
        servers.contains(&format!("turn:{PUBLIC_V4}:3478")),
        "{servers}"
    );
    let status = scene.relay.cli(&["status"]).unwrap();
    assert!(status.contains("listening"), "{status}");
}
