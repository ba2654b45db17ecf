//! Everything but the program: the mirror and the resolver over tables nobody reads.

use std::collections::HashMap;
use std::time::Instant;

use relay_common::HashKey;

use super::lab::{eventually, pair};
use super::spec;
use crate::fastpath::memory::PlainMemory;
use crate::fastpath::next_hop::Cards;
use crate::fastpath::*;

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
