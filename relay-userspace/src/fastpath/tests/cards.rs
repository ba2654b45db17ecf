//! The real program on cards: where it relays, how it gets there, and why not.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use super::lab::{eventually, pair};
use super::spec;
use crate::config::{Config, Kernel as KernelConfig, XdpMode};
use crate::fastpath::*;

/// On these cards, with everything else as it is by default.
fn open(cards: &[&str], xdp: XdpMode) -> (FastPath, Vec<api::Card>) {
    let kernel = KernelConfig {
        interfaces: cards.iter().map(|card| (*card).to_owned()).collect(),
        xdp,
        max_sessions: 64,
        ..Config::default().kernel
    };
    let ports = Config::default().relay.ports;
    FastPath::open(&kernel, &Default::default(), &ports, None)
}

#[test]
fn without_cards_everything_stays_in_userspace_and_says_so() {
    let (path, cards) = open(&[], XdpMode::Auto);
    assert!(cards.is_empty());
    path.install(
        SessionId(1),
        spec(
            ("192.0.2.1:1", "192.0.2.2:2"),
            ("192.0.2.3:3", "192.0.2.2:4"),
        ),
        Some([0, 0]),
    );
    let placement = path.session(SessionId(1));
    assert_eq!(
        placement.reason.as_deref(),
        Some("no card is named (--interface)")
    );
    assert_eq!(path.remove(SessionId(1)), None);
    path.close();
}

#[test]
fn without_privileges_the_reason_says_what_is_missing() {
    if nix::unistd::geteuid().is_root() {
        eprintln!("skipped: runs as anybody but root");
        return;
    }
    let (path, cards) = open(&["lo"], XdpMode::Auto);
    let reason = path.why_off().unwrap();
    assert!(
        reason.contains("CAP_BPF") || reason.contains("built without"),
        "{reason}"
    );
    assert_eq!(cards[0].mode, "none");
}

fn has_program() -> bool {
    if bpf_object().is_none() {
        let required = std::env::var("RELAY_REQUIRE_PRIVILEGED").is_ok();
        assert!(
            !required,
            "may not be skipped here: built without the XDP program"
        );
        eprintln!("skipped: built without the XDP program (cargo xtask build)");
    }
    bpf_object().is_some()
}

fn bind(address: &str) -> UdpSocket {
    let socket = UdpSocket::bind(address).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(5)))
        .unwrap();
    socket
}

fn install(path: &FastPath, session: SessionSpec) {
    path.open_flow_port(session.near.local);
    path.open_flow_port(session.far.local);
    path.install(SessionId(1), session, Some([0, 0]));
    eventually("the session is in the kernel", || {
        path.session(SessionId(1)).in_kernel.then_some(())
    });
}

/// Five bytes there, eight back.
fn goes_both_ways(client: &UdpSocket, server: &UdpSocket, session: &SessionSpec) {
    let mut buffer = [0; 100];
    client.send_to(b"there", session.near.local).unwrap();
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..length], from),
        (&b"there"[..], session.far.local)
    );
    server.send_to(b"and back", from).unwrap();
    let (length, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..length], from),
        (&b"and back"[..], session.near.local)
    );
}

fn relays(mode: XdpMode, expected: &str) {
    if !has_program() {
        return;
    }
    let Some((relay, outside)) = pair() else {
        return;
    };
    let (path, cards) = relay.run(move || open(&["card0"], mode));
    assert_eq!(
        (cards[0].mode.as_str(), &cards[0].reason),
        (expected, &None),
        "{:?}",
        path.why_off()
    );
    // A veth delivers what its other end transmits by XDP only if a program is there as well.
    let (other, _) = outside.run(move || open(&["card1"], mode));

    let (client, server) = outside.run(|| (bind("10.77.0.2:0"), bind("10.77.0.3:0")));
    let address = |socket: &UdpSocket| socket.local_addr().unwrap().to_string();
    let near = (address(&client), "10.77.0.1:5000");
    let far = (address(&server), "10.77.0.1:5001");
    let session = spec((&near.0, near.1), (&far.0, far.1));
    install(&path, session);

    goes_both_ways(&client, &server, &session);
    let mut buffer = [0; 100];

    let traffic = path.session(SessionId(1)).traffic;
    assert_eq!((traffic.near.packets, traffic.near.bytes), (1, 5));
    assert_eq!((traffic.far.packets, traffic.far.bytes), (1, 8));
    let counter = |name| path.counters().into_iter().find(|c| c.0 == name).unwrap().1;
    assert_eq!(counter("transmitted"), 2);

    // Fail closed in time, and again after an extension.
    path.extend(SessionId(1), Instant::now(), Instant::now());
    client.send_to(b"late", near.1).unwrap();
    eventually("the kernel sees the deadline itself", || {
        (counter("expired") == 1).then_some(())
    });
    let later = Instant::now() + Duration::from_secs(60);
    path.extend(SessionId(1), later, later);
    client.send_to(b"there", near.1).unwrap();
    server.recv_from(&mut buffer).unwrap();

    assert_eq!(path.remove(SessionId(1)).unwrap().near.packets, 2);
    client.send_to(b"gone", near.1).unwrap();
    eventually("a removed session is not found", || {
        (counter("no_session") == 1).then_some(())
    });
    assert_eq!(path.gauges().drift, 0);

    // A second program does not push the first one out.
    let (second, cards) = relay.run(move || open(&["card0", "nowhere"], mode));
    assert!(
        cards[0]
            .reason
            .as_deref()
            .unwrap()
            .contains("another XDP program is attached"),
        "{cards:?}"
    );
    assert!(
        cards[1]
            .reason
            .as_deref()
            .unwrap()
            .contains("there is no interface nowhere")
    );
    let off = second.why_off().unwrap();
    assert!(
        off.starts_with("no card took the XDP program (card0: "),
        "{off}"
    );
    path.close();
    let (third, cards) = relay.run(move || open(&["card0"], mode));
    assert_eq!(cards[0].mode, expected);
    third.close();
    other.close();
}

#[test]
fn a_session_is_relayed_by_the_kernel_in_native_mode() {
    relays(XdpMode::Auto, "native");
}

#[test]
fn a_session_is_relayed_by_the_kernel_in_generic_mode() {
    relays(XdpMode::Generic, "generic");
}

fn redirects(mode: XdpMode) {
    if !has_program() {
        return;
    }
    let Some((relay, outside)) = pair() else {
        return;
    };
    relay.shell(&format!(
        "ip link add card2 type veth peer name card3
         ip link set card3 netns {}
         ethtool -K card2 tx off
         ip addr add 10.78.0.1/24 dev card2
         ip link set card2 up",
        outside.tid
    ));
    outside.shell(
        "ethtool -K card3 tx off
         ip addr add 10.78.0.2/24 dev card3
         ip link set card3 up",
    );
    let (path, cards) = relay.run(move || open(&["card0", "card2"], mode));
    assert!(cards.iter().all(|card| card.reason.is_none()), "{cards:?}");
    let (other, _) = outside.run(move || open(&["card1", "card3"], mode));
    let (client, server) = outside.run(|| (bind("10.77.0.2:0"), bind("10.78.0.2:0")));
    let address = |socket: &UdpSocket| socket.local_addr().unwrap().to_string();
    let session = spec(
        (&address(&client), "10.77.0.1:5000"),
        (&address(&server), "10.78.0.1:5001"),
    );
    install(&path, session);
    goes_both_ways(&client, &server, &session);
    let redirected = path.counters().into_iter().find(|c| c.0 == "redirected");
    assert_eq!(redirected, Some(("redirected", 2)));
    path.close();
    other.close();
}

#[test]
fn a_session_crosses_from_card_to_card_in_native_mode() {
    redirects(XdpMode::Native);
}

#[test]
fn a_session_crosses_from_card_to_card_in_generic_mode() {
    redirects(XdpMode::Generic);
}

#[test]
fn one_card_without_native_mode_takes_the_others_to_generic_mode() {
    if !has_program() {
        return;
    }
    let Some((relay, _outside)) = pair() else {
        return;
    };
    relay.shell("ip link add plain0 type bridge");
    let words = |names: &'static [&'static str], mode| {
        let (path, cards) = relay.run(move || open(names, mode));
        path.close();
        let told = |card: api::Card| (card.mode, card.reason.unwrap_or_default());
        cards.into_iter().map(told).collect::<Vec<_>>()
    };
    let cards = words(&["card0", "plain0"], XdpMode::Auto);
    assert_eq!(
        (cards[0].0.as_str(), cards[1].0.as_str()),
        ("generic", "generic")
    );
    assert!(
        cards[0].1.contains("plain0 has only generic mode"),
        "{cards:?}"
    );
    assert_eq!(cards[1].1, "native: the driver does not support it");
    let cards = words(&["card0", "plain0"], XdpMode::Native);
    assert_eq!(
        (cards[0].0.as_str(), cards[1].0.as_str()),
        ("native", "none")
    );
    let cards = words(&["card0", "nowhere"], XdpMode::Auto);
    assert_eq!(
        (cards[0].0.as_str(), cards[1].0.as_str()),
        ("native", "none")
    );
}
