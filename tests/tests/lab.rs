//! The lab's own parts: namespaces that vanish, media that counts right, a client that others' servers understand.

use std::net::UdpSocket;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use relay_tests::client::{Refused, TurnClient};
use relay_tests::eventually::within;
use relay_tests::lab::call::{Call, Ends, Media};
use relay_tests::lab::video;
use relay_tests::netns::{NetNs, remove_stale, stale};
use relay_tests::privileged;
use relay_tests::topology::one_armed::{self, OneArmed};
use relay_tests::topology::{
    CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, SERVER_V4, SERVER_V6, Topology,
};

fn exists(name: &str) -> bool {
    Path::new("/run/netns").join(name).exists()
}

#[test]
fn a_namespace_vanishes_with_its_owner() -> Result<()> {
    if !privileged::is_root() {
        return Ok(());
    }
    let namespace = NetNs::new("gone")?;
    let name = namespace.name().to_owned();
    assert!(exists(&name));
    drop(namespace);
    assert!(!exists(&name));
    Ok(())
}

#[test]
fn a_panic_leaves_no_namespace_and_no_process() -> Result<()> {
    if !privileged::is_root() {
        return Ok(());
    }
    let (send, receive) = std::sync::mpsc::channel();
    let panicked = std::thread::spawn(move || {
        let namespace = NetNs::new("panic").expect("a namespace");
        let child = namespace
            .command("sleep")
            .arg("1000")
            .spawn()
            .expect("a process");
        send.send((namespace.name().to_owned(), child))
            .expect("the test listens");
        panic!("on purpose");
    });
    assert!(panicked.join().is_err());
    let (name, mut child) = receive.recv()?;
    assert!(!exists(&name));
    within(Duration::from_secs(10), "the process dies", || {
        child.try_wait().ok().flatten()
    })?;
    Ok(())
}

#[test]
fn a_namespace_whose_owner_was_killed_is_found_and_removed() -> Result<()> {
    if !privileged::is_root() {
        return Ok(());
    }
    let mut dead = Command::new("true").spawn()?;
    dead.wait()?;
    let name = format!("relay-{}-0-stale", dead.id());
    Command::new("ip").args(["netns", "add", &name]).status()?;
    assert!(stale().contains(&name));
    remove_stale();
    assert!(!exists(&name));
    Ok(())
}

#[test]
fn even_a_killed_lab_is_swept() -> Result<()> {
    if !privileged::is_root() {
        return Ok(());
    }
    let mut owner = Command::new("sleep").arg("1000").spawn()?;
    let name = format!("relay-{}-0-swept", owner.id());
    Command::new("ip").args(["netns", "add", &name]).status()?;
    let mut sweep = Command::new(env!("CARGO_BIN_EXE_lab"));
    let mut sweep = sweep
        .arg("sweep")
        .arg(owner.id().to_string())
        .stdin(Stdio::piped())
        .spawn()?;
    assert!(exists(&name));
    drop(sweep.stdin.take());
    assert!(sweep.wait()?.success());
    assert!(!exists(&name));
    owner.kill()?;
    owner.wait()?;
    Ok(())
}

/// A lab whose edge routes like any router, without a relay.
fn routed() -> Result<Option<Topology>> {
    if privileged::object("lab-xdp.o").is_none() {
        return Ok(None);
    }
    let topology = Topology::new()?;
    let routing = "echo 1 > /proc/sys/net/ipv4/ip_forward";
    topology.edge.run("sh", &["-c", routing])?;
    Ok(Some(topology))
}

#[test]
fn a_video_over_a_plain_router_arrives_whole() -> Result<()> {
    let Some(topology) = routed()? else {
        return Ok(());
    };
    let receiver = video::Receiver::start(&topology.server, SERVER_V4)?;
    let mut sender = video::Sender::start(&topology.client, receiver.address, &video::LARGE)?;
    let some = || (receiver.ledger.lock().received > 200).then_some(());
    within(Duration::from_secs(30), "200 packets of video", some)?;
    sender.stop()?;
    receiver.ledger.lock().sent = video::datagrams_sent(&topology.client)?;
    within(Duration::from_secs(5), "the last packets", || {
        (receiver.ledger.missing() == 0).then_some(())
    })?;
    assert_eq!(receiver.ledger.lock().gaps(), 0);
    Ok(())
}

#[test]
fn the_hosts_of_a_one_armed_lab_reach_each_other() -> Result<()> {
    if privileged::object("lab-xdp.o").is_none() {
        return Ok(());
    }
    let lab = OneArmed::new()?;
    let server = lab
        .server
        .enter(|| Ok(UdpSocket::bind((one_armed::SERVER_V4, 0))?))?;
    let to = server.local_addr()?;
    let mut buffer = [0; 16];
    server.set_read_timeout(Some(Duration::from_secs(5)))?;
    for host in [&lab.client, &lab.edge] {
        host.enter(|| Ok(UdpSocket::bind("0.0.0.0:0")?.send_to(b"hello", to)?))?;
        assert_eq!(server.recv(&mut buffer)?, 5);
    }
    Ok(())
}

/// Debian's coturn on the edge; killed with its namespace.
fn coturn(topology: &Topology) -> Result<std::process::Child> {
    let mut command = topology.edge.command("turnserver");
    command.args([
        "-n",
        "--no-cli",
        "--no-tls",
        "--no-dtls",
        "-a",
        "-u",
        "lab:word",
        "-r",
        "lab",
        "--log-file=stdout",
    ]);
    command.args([
        "-L",
        EDGE_V4,
        "-L",
        EDGE_V6,
        "-E",
        EDGE_V4,
        "-E",
        EDGE_V6,
        "--pidfile",
        "/dev/null",
    ]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().context("start turnserver")
}

#[test]
fn calls_through_coturn_arrive_whole_in_both_directions() -> Result<()> {
    let Some(topology) = routed()? else {
        return Ok(());
    };
    let mut server = coturn(&topology)?;
    for (client_ip, turn, peer_ip) in [
        (CLIENT_V4, EDGE_V4, SERVER_V4),
        (CLIENT_V6, EDGE_V6, SERVER_V6),
    ] {
        let turn = (turn.parse::<std::net::IpAddr>()?, 3478).into();
        let ends = Ends {
            client: &topology.client,
            client_ip,
            peer: &topology.server,
            peer_ip,
            turn,
        };
        let mut call = Call::start(
            ends,
            ("lab", "word"),
            Media {
                packets_per_second: 200,
                bytes: 321,
            },
        )?;
        let enough = || {
            (call.to_peer.lock().received > 100 && call.to_client.lock().received > 100)
                .then_some(())
        };
        within(Duration::from_secs(10), "100 packets both ways", enough)?;
        call.stop()?;
        assert_eq!((call.to_peer.missing(), call.to_client.missing()), (0, 0));
        assert!(call.to_peer.lock().delay.microseconds(0.5) > 0.0);
    }
    let socket = topology
        .client
        .enter(|| Ok(UdpSocket::bind("0.0.0.0:0")?))?;
    let wrong = TurnClient::allocate(socket, format!("{EDGE_V4}:3478").parse()?, "lab", "wrong");
    let fault = wrong.err().context("a wrong password must be refused")?;
    assert_eq!(
        fault.downcast_ref::<Refused>().map(|refused| refused.code),
        Some(401)
    );
    server.kill()?;
    server.wait()?;
    Ok(())
}
