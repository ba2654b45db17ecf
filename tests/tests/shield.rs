//! The shield around a real relay: strangers over their limit are dropped in the kernel, and nobody else notices.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use relay_tests::client::TurnClient;
use relay_tests::eventually::eventually;
use relay_tests::netns::NetNs;
use relay_tests::scene::Scene;
use relay_tests::topology::{CLIENT_V4, EDGE_SERVER_V4, EDGE_V4, SERVER_V4};

const PACKETS: u32 = 200;
const SECOND: Duration = Duration::from_secs(1);

/// A relay with these keys of `[shield]`.
fn scene(shield: &str) -> Option<(Scene, tempfile::NamedTempFile)> {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    writeln!(config, "[shield]\n{shield}").unwrap();
    let path = config.path().to_str().unwrap().to_owned();
    Some((Scene::with("native", &["--config", &path])?, config))
}

fn socket(namespace: &NetNs, address: &str) -> UdpSocket {
    let socket = namespace.enter(|| Ok(UdpSocket::bind(address)?)).unwrap();
    socket.set_read_timeout(Some(SECOND)).unwrap();
    socket
}

fn binding(number: u32) -> Vec<u8> {
    let mut request = vec![0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    request.extend([0; 8]);
    request.extend(number.to_be_bytes());
    request
}

/// A stranger on the server's side asks so often; how many answers it gets.
fn ask(scene: &Scene, times: u32) -> u32 {
    let stranger = socket(&scene.topology.server, &format!("{SERVER_V4}:0"));
    stranger.connect((EDGE_SERVER_V4, 3478)).unwrap();
    for i in 0..times {
        stranger.send(&binding(i)).unwrap();
    }
    let mut buffer = [0; 512];
    (0..times)
        .take_while(|_| stranger.recv(&mut buffer).is_ok())
        .count() as u32
}

#[test]
fn strangers_over_their_limit_are_dropped_in_the_kernel_and_clients_are_served() {
    let Some((scene, _config)) = scene("strangers_per_prefix = 5\nstrangers_per_cpu = 1000000")
    else {
        return;
    };
    let mut call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    scene.wait_for_kernel();
    let answers = ask(&scene, PACKETS);
    assert!((5..20).contains(&answers), "{answers} answers");
    let dropped = scene.verdict("shield_prefix");
    assert!(dropped >= u64::from(PACKETS - 20), "{dropped} dropped");
    // A client's requests, more of its host, and its packets: the limit is not theirs.
    for _ in 0..20 {
        call.client.refresh(600).unwrap();
        drop(scene.client(CLIENT_V4, EDGE_V4));
    }
    call.exchange(50);
    assert!(scene.verdict("shield_prefix") - dropped < 10);
    assert_eq!(scene.verdict("shield_known"), 0);
    let status = scene.relay.status().unwrap();
    assert_eq!(status.shield.runs_in, "kernel");
    assert!(status.shield.known > 0 && status.shield.dropped >= dropped);
}

#[test]
fn all_strangers_together_have_a_limit_on_a_cpu() {
    let shield = "strangers_per_prefix = 1000000\nstrangers_per_cpu = 20";
    let Some((scene, _config)) = scene(shield) else {
        return;
    };
    let answers = ask(&scene, PACKETS);
    assert!(answers < PACKETS / 2, "{answers} answers");
    assert!(scene.verdict("shield_total") > 0);
}

#[test]
fn a_permitted_peer_is_no_stranger_whatever_port_it_sends_from_and_is_one_without() {
    let Some((scene, _config)) = scene("junk_per_prefix = 1\njunk_per_cpu = 1000000") else {
        return;
    };
    let peer = scene.peer(SERVER_V4);
    let mut client = scene.client(CLIENT_V4, EDGE_V4);
    let send = |client: &TurnClient, i: u32| {
        peer.send_to(&i.to_be_bytes(), client.relayed).unwrap();
    };
    (0..PACKETS).for_each(|i| send(&client, i));
    eventually(
        "packets without permission are dropped in the kernel",
        || scene.verdict("shield_junk") >= u64::from(PACKETS - 10),
    )
    .unwrap();
    let dropped = scene.verdict("shield_junk");
    let other_port = SocketAddr::new(peer.local_addr().unwrap().ip(), 9);
    client.permit(other_port).unwrap();
    for i in 0..PACKETS {
        send(&client, i);
        let from_peer = client.receive(SECOND).unwrap().expect("a packet");
        assert_eq!(from_peer.into_data(), i.to_be_bytes());
    }
    assert_eq!(scene.verdict("shield_junk"), dropped);
    client.refresh(0).unwrap();
    assert_eq!(scene.relay.status().unwrap().allocations, 0);
}

#[test]
fn sockets_of_the_host_in_the_range_of_relay_ports_are_not_touched() {
    let Some((scene, _config)) = scene("closed_ports_per_cpu = 1") else {
        return;
    };
    let host = socket(&scene.topology.edge, &format!("{EDGE_V4}:50000"));
    let sender = socket(&scene.topology.client, &format!("{CLIENT_V4}:0"));
    for port in [50_001, 50_000] {
        for i in 0..PACKETS {
            // What an ICMP error to an earlier one makes of it is no matter.
            let _ = sender.send_to(&i.to_be_bytes(), (EDGE_V4, port));
        }
    }
    let mut buffer = [0; 16];
    for _ in 0..PACKETS {
        host.recv(&mut buffer).expect("every packet");
    }
    let dropped = scene.verdict("shield_closed");
    assert!(dropped >= u64::from(PACKETS - 20), "{dropped}");
    assert!(dropped <= u64::from(PACKETS), "{dropped}");
}

#[test]
fn without_the_shield_every_packet_goes_up() {
    let shield = "enabled = false\nstrangers_per_prefix = 1\nclosed_ports_per_cpu = 1";
    let Some((scene, _config)) = scene(shield) else {
        return;
    };
    for _ in 0..50 {
        assert_eq!(ask(&scene, 1), 1);
    }
    let status = scene.relay.status().unwrap();
    assert_eq!(
        (status.shield.runs_in.as_str(), status.shield.dropped),
        ("off", 0)
    );
}

#[test]
fn in_userspace_strangers_together_get_no_more_answers_than_the_shield_allows() {
    let mut config = tempfile::NamedTempFile::new().unwrap();
    writeln!(config, "[shield]\nstrangers_per_cpu = 10").unwrap();
    let path = config.path().to_str().unwrap().to_owned();
    let Some(scene) = Scene::with("off", &["--config", &path]) else {
        return;
    };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let answers = ask(&scene, PACKETS);
    assert!((1..40).contains(&answers), "{answers} answers");
    call.exchange(10);
    assert_eq!(scene.relay.status().unwrap().shield.runs_in, "userspace");
}
