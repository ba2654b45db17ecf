//! The fast path against a real kernel, in network namespaces of its own.

mod lab;

use std::collections::HashMap;
use std::net::UdpSocket;
use std::time::Duration;

use relay_common::HashKey;

use super::next_hop::Cards;
use super::*;
use crate::config::{Kernel as KernelConfig, XdpMode};
use lab::{eventually, pair};
use memory::PlainMemory;

fn spec(near: (&str, &str), far: (&str, &str)) -> SessionSpec {
    let leg = |(remote, local): (&str, &str)| Leg {
        remote: remote.parse().unwrap(),
        local: local.parse().unwrap(),
        channel: None,
        deadline: Instant::now() + Duration::from_secs(60),
    };
    SessionSpec {
        near: leg(near),
        far: leg(far),
    }
}

fn config(cards: &[&str], xdp: XdpMode) -> KernelConfig {
    KernelConfig {
        interfaces: cards.iter().map(|card| (*card).to_owned()).collect(),
        xdp,
        max_sessions: 64,
        ..crate::config::Config::default().kernel
    }
}

#[test]
fn without_cards_everything_stays_in_userspace_and_says_so() {
    let (path, cards) = FastPath::open(
        &config(&[], XdpMode::Auto),
        &Default::default(),
        &(49_152..=65_535),
        None,
    );
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

/// The resolver with tables nobody reads: everything but the program.
#[test]
fn next_hops_follow_the_kernels_routes_and_neighbours() {
    let Some((relay, outside)) = pair() else {
        return;
    };
    let (core, thread) = relay.run(|| {
        let ifindex = nix::net::if_::if_nametoindex("card0").unwrap();
        let cards = Cards {
            numbers: HashMap::from([(ifindex, 0)]),
            native: true,
        };
        let clock = clock::Clock::at(1 << 33, Instant::now());
        let core = Core::new(Mirror::new(
            PlainMemory::new(8, 64),
            HashKey([3; 14]),
            clock,
            cards,
        ));
        let closed = std::sync::Weak::<Mutex<Option<Attachment>>>::new();
        let thread = core.start(closed).unwrap();
        (core, thread)
    });
    let reason = |id| core.with(|mirror| mirror.session(SessionId(id)).reason);
    let in_kernel = |id| {
        core.with(|mirror| mirror.session(SessionId(id)).in_kernel)
            .then_some(())
    };

    // Nobody has spoken to either neighbour yet: the resolver has the kernel ask for them.
    core.with(|mirror| {
        mirror.install(
            SessionId(1),
            spec(
                ("10.77.0.2:1", "10.77.0.1:5000"),
                ("10.77.0.3:2", "10.77.0.1:5001"),
            ),
        );
        mirror.install(
            SessionId(2),
            spec(
                ("[fd77::2]:1", "[fd77::1]:5000"),
                ("[fd77::2]:2", "[fd77::1]:5001"),
            ),
        );
    });
    eventually("IPv4 neighbours resolve", || in_kernel(1));
    eventually("IPv6 neighbours resolve", || in_kernel(2));
    let first_mac = core.with(|mirror| mirror.next_hop_mac("10.77.0.3".parse().unwrap()));

    core.with(|mirror| {
        mirror.install(
            SessionId(3),
            spec(
                ("10.77.0.2:3", "10.77.0.1:5000"),
                ("10.77.0.1:9", "10.77.0.1:5001"),
            ),
        );
        mirror.install(
            SessionId(4),
            spec(
                ("10.77.0.2:4", "10.77.0.1:5000"),
                ("198.51.100.1:9", "10.77.0.1:5002"),
            ),
        );
    });
    eventually("a local peer is recognised", || {
        (reason(3)? == "the peer is on this host").then_some(())
    });
    eventually("a missing route is reported", || {
        reason(4)?
            .starts_with("no route to 198.51.100.1")
            .then_some(())
    });
    relay.shell("ip route add 198.51.100.0/24 via 10.77.0.2");
    eventually("a new route is used", || in_kernel(4));

    outside.shell(
        "ip link set card1 down
         ip link set card1 address 02:00:00:00:77:77
         ip link set card1 up
         ip addr replace fd77::2/64 dev card1 nodad",
    );
    relay.shell("ip neigh flush dev card0");
    eventually("a changed MAC address is followed", || {
        let mac = core.with(|mirror| mirror.next_hop_mac("10.77.0.3".parse().unwrap()));
        (mac != first_mac && mac.is_some()).then_some(())
    });
    relay.shell("ip link set card0 down");
    eventually("a link that is down relays nothing", || reason(1));

    core.stop();
    thread.join().unwrap();
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

fn relays(mode: XdpMode, expected: &str) {
    if !has_program() {
        return;
    }
    let Some((relay, outside)) = pair() else {
        return;
    };
    let (path, cards) = relay.run(move || {
        FastPath::open(
            &config(&["card0"], mode),
            &Default::default(),
            &(49_152..=65_535),
            None,
        )
    });
    assert_eq!(
        (cards[0].mode.as_str(), &cards[0].reason),
        (expected, &None),
        "{:?}",
        path.why_off()
    );
    // A veth delivers what its other end transmits by XDP only if a program is there as well.
    let (other, _) = outside.run(move || {
        FastPath::open(
            &config(&["card1"], mode),
            &Default::default(),
            &(49_152..=65_535),
            None,
        )
    });

    let (client, server) = outside.run(|| (bind("10.77.0.2:0"), bind("10.77.0.3:0")));
    let address = |socket: &UdpSocket| socket.local_addr().unwrap().to_string();
    let near = (address(&client), "10.77.0.1:5000");
    let far = (address(&server), "10.77.0.1:5001");
    let session = spec((&near.0, near.1), (&far.0, far.1));
    path.open_flow_port(session.near.local);
    path.open_flow_port(session.far.local);
    path.install(SessionId(1), session, Some([0, 0]));
    eventually("the session is in the kernel", || {
        path.session(SessionId(1)).in_kernel.then_some(())
    });

    let mut buffer = [0; 100];
    client.send_to(b"there", near.1).unwrap();
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
    let (second, cards) = relay.run(move || {
        FastPath::open(
            &config(&["card0", "nowhere"], mode),
            &Default::default(),
            &(49_152..=65_535),
            None,
        )
    });
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
    let (third, cards) = relay.run(move || {
        FastPath::open(
            &config(&["card0"], mode),
            &Default::default(),
            &(49_152..=65_535),
            None,
        )
    });
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
    let (path, cards) = relay.run(move || {
        FastPath::open(
            &config(&["card0", "card2"], mode),
            &Default::default(),
            &(49_152..=65_535),
            None,
        )
    });
    assert!(cards.iter().all(|card| card.reason.is_none()), "{cards:?}");
    let (other, _) = outside.run(move || {
        FastPath::open(
            &config(&["card1", "card3"], mode),
            &Default::default(),
            &(49_152..=65_535),
            None,
        )
    });
    let (client, server) = outside.run(|| (bind("10.77.0.2:0"), bind("10.78.0.2:0")));
    let address = |socket: &UdpSocket| socket.local_addr().unwrap().to_string();
    let session = spec(
        (&address(&client), "10.77.0.1:5000"),
        (&address(&server), "10.78.0.1:5001"),
    );
    path.open_flow_port(session.near.local);
    path.open_flow_port(session.far.local);
    path.install(SessionId(1), session, Some([0, 0]));
    eventually("the session is in the kernel", || {
        path.session(SessionId(1)).in_kernel.then_some(())
    });
    let mut buffer = [0; 100];
    client.send_to(b"across", session.near.local).unwrap();
    let (length, from) = server.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..length], from),
        (&b"across"[..], session.far.local)
    );
    server.send_to(b"back", from).unwrap();
    let (length, from) = client.recv_from(&mut buffer).unwrap();
    assert_eq!(
        (&buffer[..length], from),
        (&b"back"[..], session.near.local)
    );
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
fn without_privileges_the_reason_says_what_is_missing() {
    if nix::unistd::geteuid().is_root() {
        eprintln!("skipped: runs as anybody but root");
        return;
    }
    let (path, cards) = FastPath::open(
        &config(&["lo"], XdpMode::Auto),
        &Default::default(),
        &(49_152..=65_535),
        None,
    );
    let reason = path.why_off().unwrap();
    assert!(
        reason.contains("CAP_BPF") || reason.contains("built without"),
        "{reason}"
    );
    assert_eq!(cards[0].mode, "none");
}

/// Prints what a table of the default size costs; asserts only that every session gets in.
#[test]
fn the_default_number_of_sessions_fits() {
    let now = Instant::now();
    let memory = PlainMemory::new(65_536, relay_common::buckets_for(65_536));
    let clock = clock::Clock::at(1 << 33, now);
    let mut mirror = Mirror::new(
        memory,
        HashKey([0x9e37_79b9; 14]),
        clock,
        Cards {
            numbers: HashMap::from([(1, 0)]),
            native: true,
        },
    );
    let session = |n: u16| {
        let client = format!("10.0.{}.{}:{n}", n >> 8, n & 255);
        spec(
            (&client, "10.77.0.1:3478"),
            ("10.77.0.3:1000", &format!("10.77.0.1:{n}")),
        )
    };
    let began = Instant::now();
    for n in 0..=u16::MAX {
        mirror.install(SessionId(u64::from(n)), session(n));
        for key in mirror.take_wanted_routes() {
            let neighbour = "10.77.0.2".parse().unwrap();
            mirror.set_route(
                key,
                next_hop::Route::Via {
                    oif: 1,
                    neighbour,
                    mtu: 0,
                },
            );
        }
    }
    let installed = began.elapsed();
    let gauges = mirror.gauges();
    let counted = began.elapsed() - installed;
    mirror.reconcile();
    let compared = began.elapsed() - installed - counted;
    eprintln!("65536 sessions: install {installed:?}, gauges {counted:?}, reconcile {compared:?}");
    assert_eq!((gauges.failed_installs, mirror.gauges().drift), (0, 0));
    assert!((0..=u16::MAX).all(|n| mirror.remove(SessionId(u64::from(n))).is_some()));
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
    let open = |names: &'static [&'static str], mode| {
        let (path, cards) = relay.run(move || {
            FastPath::open(
                &config(names, mode),
                &Default::default(),
                &(49_152..=65_535),
                None,
            )
        });
        path.close();
        let words = |card: api::Card| (card.mode, card.reason.unwrap_or_default());
        cards.into_iter().map(words).collect::<Vec<_>>()
    };
    let cards = open(&["card0", "plain0"], XdpMode::Auto);
    assert_eq!(
        (cards[0].0.as_str(), cards[1].0.as_str()),
        ("generic", "generic")
    );
    assert!(
        cards[0].1.contains("plain0 has only generic mode"),
        "{cards:?}"
    );
    assert_eq!(cards[1].1, "native: the driver does not support it");
    let cards = open(&["card0", "plain0"], XdpMode::Native);
    assert_eq!(
        (cards[0].0.as_str(), cards[1].0.as_str()),
        ("native", "none")
    );
    let cards = open(&["card0", "nowhere"], XdpMode::Auto);
    assert_eq!(
        (cards[0].0.as_str(), cards[1].0.as_str()),
        ("native", "none")
    );
}
