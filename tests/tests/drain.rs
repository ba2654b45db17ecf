//! A relay on its way out: whoever is there goes on, nobody new comes, and then it ends.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::Result;
use nix::sys::signal::Signal;
use relay_tests::client::{Refused, TurnClient};
use relay_tests::eventually::eventually;
use relay_tests::interop::{Tools, client::run};
use relay_tests::relay::{Follower, Relay};
use relay_tests::scene::Scene;
use relay_tests::topology::{CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, LAB_NETWORKS, SERVER_V4};
use relay_userspace::api::{Drain, DrainPhase};

const ELSEWHERE: &str = "192.0.2.7:3478";

fn scene(configuration: &str) -> Option<(Scene, tempfile::NamedTempFile)> {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), configuration).unwrap();
    let scene = Scene::with("native", &["--config", file.path().to_str().unwrap()])?;
    Some((scene, file))
}

fn try_to_allocate(scene: &Scene, client: &str, edge: &str) -> Result<TurnClient, Refused> {
    let [client, edge] = [client, edge].map(|a| a.parse::<IpAddr>().unwrap());
    let bind = || Ok(UdpSocket::bind((client, 0))?);
    let socket = scene.topology.client.enter(bind).unwrap();
    let server = SocketAddr::new(edge, 3478);
    let made = TurnClient::allocate(socket, server, "user", "password");
    made.map_err(|error| error.downcast().expect("an answer"))
}

fn refused(scene: &Scene, client: &str, edge: &str) -> Refused {
    match try_to_allocate(scene, client, edge) {
        Ok(_) => panic!("an allocation while draining"),
        Err(refused) => refused,
    }
}

/// `relay drain`, begun.
fn drain(scene: &Scene, more: &[&str]) -> Follower {
    let drain = scene
        .relay
        .follow(&[&["drain", "--json"], more].concat())
        .unwrap();
    let first: Drain = drain.next().unwrap().expect("a first line");
    assert_eq!(first.phase, DrainPhase::Draining);
    drain
}

/// The last line, with what was left, when `phase` has come.
fn comes_to(drain: &Follower, phase: DrainPhase) -> u64 {
    let lines = drain.until(|line: &Drain| line.phase == phase).unwrap();
    lines.last().expect("a line").left()
}

#[test]
fn a_draining_relay_serves_its_clients_and_sends_new_ones_elsewhere() {
    let servers = format!("[turn]\nalternate_servers = [\"{ELSEWHERE}\"]\n");
    let Some((mut scene, _file)) = scene(&servers) else {
        return;
    };
    let mut call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    scene.wait_for_kernel();
    let mut drain = drain(&scene, &["--deadline", "10m"]);
    let answer = refused(&scene, CLIENT_V4, EDGE_V4);
    assert_eq!(
        (answer.code, &answer.alternates[..]),
        (300, &[ELSEWHERE.parse().unwrap()][..])
    );
    let v6 = refused(&scene, CLIENT_V6, EDGE_V6);
    assert_eq!(
        (v6.code, v6.reason.as_str()),
        (508, "Draining"),
        "no server of its family"
    );
    call.exchange(50);
    assert_eq!(call.client.refresh(600).unwrap(), 600);
    let other = scene.peer(SERVER_V4);
    call.client
        .bind(0x4321, other.local_addr().unwrap())
        .unwrap();
    let status = scene.relay.status().unwrap();
    let draining = status.draining.expect("a drain in the status");
    assert_eq!((draining.phase, draining.left()), (DrainPhase::Draining, 1));
    assert_eq!(call.client.refresh(0).unwrap(), 0);
    assert_eq!(comes_to(&drain, DrainPhase::Over), 0);
    assert_eq!(drain.exit().unwrap(), Some(0));
    assert_eq!(scene.relay.exit().unwrap(), 0);
}

#[test]
fn a_drain_ends_at_its_deadline_with_what_is_left() {
    let Some((mut scene, _file)) = scene("") else {
        return;
    };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let mut drain = drain(&scene, &["--deadline", "1s"]);
    call.exchange(20);
    assert_eq!(comes_to(&drain, DrainPhase::Over), 1);
    assert_eq!(drain.exit().unwrap(), Some(0));
    assert_eq!(scene.relay.exit().unwrap(), 0);
    let cards = scene.topology.edge.run("ip", &["link"]).unwrap();
    assert!(!cards.contains("xdp"), "{cards}");
}

#[test]
fn a_drain_until_one_is_left_does_not_wait_for_the_last() {
    let Some((mut scene, _file)) = scene("") else {
        return;
    };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let mut other = scene.client(CLIENT_V4, EDGE_V4);
    let drain = drain(&scene, &["--until", "1"]);
    call.exchange(10);
    assert_eq!(other.refresh(0).unwrap(), 0);
    assert_eq!(comes_to(&drain, DrainPhase::Over), 1);
    assert_eq!(scene.relay.exit().unwrap(), 0);
}

#[test]
fn a_drain_that_is_taken_back_leaves_nothing_behind() {
    let Some((scene, _file)) = scene("") else {
        return;
    };
    let call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    assert!(
        scene.relay.cli(&["drain", "--cancel"]).is_err(),
        "nothing to take back"
    );
    let mut drain = drain(&scene, &[]);
    assert_eq!(refused(&scene, CLIENT_V4, EDGE_V4).code, 508);
    scene.relay.cli(&["drain", "--cancel"]).unwrap();
    assert_eq!(comes_to(&drain, DrainPhase::Cancelled), 1);
    assert_eq!(drain.exit().unwrap(), Some(1));
    assert!(try_to_allocate(&scene, CLIENT_V4, EDGE_V4).is_ok());
    call.exchange(10);
}

#[test]
fn a_forward_that_drains_keeps_its_clients_and_takes_no_other() {
    let Some((scene, _file)) = scene("") else {
        return;
    };
    let destination = scene.peer(SERVER_V4);
    let to = destination.local_addr().unwrap().to_string();
    let add = ["forward", "add", "--listen", "udp/5004", "--to", &to];
    scene.relay.cli(&add).unwrap();
    let bind = || Ok(UdpSocket::bind((CLIENT_V4, 0))?);
    let [known, new] = [(); 2].map(|()| scene.topology.client.enter(bind).unwrap());
    let public = (EDGE_V4, 5004);
    let mut buffer = [0; 64];
    known.send_to(b"first", public).unwrap();
    destination
        .recv_from(&mut buffer)
        .expect("the first packet");
    let _drain = drain(&scene, &[]);
    new.send_to(b"late", public).unwrap();
    let refused = || scene.count("forward_refused", "draining") == 1;
    eventually("the new client is refused", refused).unwrap();
    known.send_to(b"second", public).unwrap();
    let (length, _) = destination
        .recv_from(&mut buffer)
        .expect("its second packet");
    assert_eq!(&buffer[..length], b"second");
}

#[test]
fn sigterm_drains_and_a_second_one_waits_no_longer() {
    let Some((mut scene, _file)) = scene("[drain]\non_stop = \"10m\"\n") else {
        return;
    };
    let mut call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    scene.relay.signal(Signal::SIGTERM).unwrap();
    let drains = || scene.relay.status().unwrap().draining.is_some();
    eventually("it drains", drains).unwrap();
    assert_eq!(refused(&scene, CLIENT_V4, EDGE_V4).code, 508);
    let cancelled = scene.relay.cli(&["drain", "--cancel"]).unwrap_err();
    assert!(
        cancelled.to_string().contains("told to stop"),
        "{cancelled}"
    );
    call.exchange(20);
    assert_eq!(call.client.refresh(600).unwrap(), 600);
    assert_eq!(scene.relay.stop().unwrap(), 0);
}

#[test]
fn sigterm_ends_a_relay_that_nobody_uses_at_once() {
    let Some((mut scene, _file)) = scene("[drain]\non_stop = \"10m\"\n") else {
        return;
    };
    assert_eq!(scene.relay.stop().unwrap(), 0);
}

#[test]
fn a_drain_does_not_keep_sessions_from_the_next_process() {
    let Some((scene, _file)) = scene("") else {
        return;
    };
    let _call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let mut drain = drain(&scene, &[]);
    let Scene { relay, topology } = scene;
    relay.leave().unwrap();
    assert_eq!(
        drain.exit().unwrap(),
        Some(1),
        "it ended before it was over"
    );
    drop(topology);
}

#[test]
fn a_real_client_follows_to_the_other_server() {
    if Tools::or_skip(&["turnutils_uclient", "turnutils_peer"]).is_none() {
        return;
    }
    let other = SocketAddr::new(EDGE_V4.parse().unwrap(), 3479);
    let servers = format!("[turn]\nalternate_servers = [\"{other}\"]\n");
    let Some((scene, _file)) = scene(&servers) else {
        return;
    };
    let _call = scene.call(CLIENT_V4, EDGE_V4, SERVER_V4);
    let listen = format!("udp/{other}");
    let next = [
        "--user",
        "user:password",
        "--realm",
        "lab",
        "--listen",
        &listen,
    ];
    let ports = [
        "--allow-peer",
        LAB_NETWORKS[0],
        "--relay-ports",
        "40000-40999",
    ];
    let next = Relay::start(&scene.topology.edge, &[&next[..], &ports].concat()).unwrap();
    let _drain = drain(&scene, &[]);
    let mut client = scene.topology.client.command("turnutils_uclient");
    client.args([
        "-u", "user", "-w", "password", "-p", "3478", "-X", "-y", "-c",
    ]);
    client.args(["-n", "20", "-m", "2", "-l", "100", "-z", "5", EDGE_V4]);
    let said = run(&client).unwrap();
    assert!(said.contains("Total lost packets 0 (0.000000%)"), "{said}");
    let relayed = next.status().unwrap().userspace.packets;
    assert!(
        relayed >= 40,
        "{relayed} packets by the other server: {said}"
    );
    assert!(scene.relay.status().unwrap().draining.is_some());
    let sent_on = scene.count("turn_answered_300", "");
    assert!(sent_on >= 1, "{sent_on}");
}
