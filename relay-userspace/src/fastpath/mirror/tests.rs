//! The mirror on plain memory: what lies in the tables after each thing userspace or the network does.

use std::net::IpAddr;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use std::collections::HashMap;

use super::*;
use crate::fastpath::Leg;
use crate::fastpath::memory::{
    NEXT_HOP_WORDS, PORT_WORDS, PlainMemory, SLOT_WORDS, deadline_word, next_hop_word, packets_word,
};
use crate::fastpath::next_hop::{Cards, Link, Neighbour, Route};

const CARD: u32 = 2;
const JIFFIES: u64 = 1 << 33;

struct World {
    mirror: Mirror<PlainMemory>,
    now: Instant,
}

impl World {
    fn new(capacity: u32) -> Self {
        let now = Instant::now();
        let memory = PlainMemory::new(capacity, 64);
        let cards = Cards {
            numbers: HashMap::from([(CARD, 0)]),
            native: true,
        };
        let mut mirror = Mirror::new(memory, HashKey([7; 14]), Clock::at(JIFFIES, now), cards);
        let link = |name: &str| Link {
            name: name.to_owned(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            up: true,
            vlan: None,
        };
        let neighbour = |n| Neighbour {
            mac: [2, 0, 0, 0, 1, n],
            stale: false,
        };
        mirror.set_network(
            vec![(CARD, link("eth0")), (3, link("eth1"))],
            (1..9).map(|n| (CARD, ip(n), neighbour(n))).collect(),
        );
        Self { mirror, now }
    }

    fn leg(&self, remote: &str, local: &str, channel: Option<u16>) -> Leg {
        Leg {
            remote: remote.parse().unwrap(),
            local: local.parse().unwrap(),
            channel,
            deadline: self.now + Duration::from_secs(10),
        }
    }

    fn turn(&self, client: &str, channel: u16, relayed: &str, peer: &str) -> SessionSpec {
        SessionSpec {
            near: self.leg(client, "192.0.2.100:3478", Some(channel)),
            far: self.leg(peer, relayed, None),
        }
    }

    /// Answers every route lookup: our own address is local, .200 and above leave by eth1, the rest is on eth0's link.
    fn route(&mut self) {
        for key in self.mirror.take_wanted_routes() {
            let IpAddr::V4(v4) = key.remote else { continue };
            let route = match v4.octets()[3] {
                100 => Route::Local,
                200.. => Route::Via {
                    oif: 3,
                    neighbour: key.remote,
                    mtu: 0,
                },
                _ => Route::Via {
                    oif: CARD,
                    neighbour: key.remote,
                    mtu: 0,
                },
            };
            self.mirror.set_route(key, route);
        }
    }

    fn session_word(&self, slot: usize, word: usize) -> u64 {
        self.mirror.kernel.memory().sessions()[slot * SLOT_WORDS + word].load(Relaxed)
    }

    fn count(&self, slot: usize, leg: usize, packets: u64) {
        self.mirror.kernel.memory().sessions()[slot * SLOT_WORDS + packets_word(leg)]
            .fetch_add(packets, Relaxed);
    }

    fn live(&self) -> usize {
        let sessions = self.mirror.kernel.memory().sessions();
        sessions
            .iter()
            .step_by(SLOT_WORDS)
            .filter(|word| word.load(Relaxed) != 0)
            .count()
    }

    fn reason(&self, id: u64) -> Option<String> {
        self.mirror.session(SessionId(id)).reason
    }

    fn recycle(&mut self) {
        if let Some(retired) = self.mirror.take_retired() {
            self.mirror.release(retired);
        }
        if self.mirror.take_room() {
            self.mirror.reconcile();
        }
    }
}

fn ip(last: u8) -> IpAddr {
    [192, 0, 2, last].into()
}

#[test]
fn a_session_runs_in_the_kernel_as_soon_as_its_routes_are_known() {
    let mut world = World::new(4);
    let spec = world.turn(
        "192.0.2.1:1000",
        0x4000,
        "192.0.2.100:50000",
        "192.0.2.2:2000",
    );
    world.mirror.open_flow_port(spec.far.local);
    world.mirror.install(SessionId(1), spec);
    assert_eq!(
        world.reason(1).as_deref(),
        Some("the route to 192.0.2.2 is being looked up")
    );
    assert!(std::mem::take(&mut world.mirror.needs_resolver));
    world.route();
    assert!(world.mirror.session(SessionId(1)).in_kernel);
    assert_eq!(world.session_word(0, 0), 1);
    assert_eq!(world.session_word(0, deadline_word(0)), JIFFIES + 10_000);
    let shortcut = world.mirror.kernel.memory().ports()[50000 * PORT_WORDS + 1].load(Relaxed);
    assert_eq!(shortcut & 0xffff_ffff, 1);
    let later = world.now + Duration::from_secs(300);
    world.mirror.extend(SessionId(1), later, world.now);
    assert_eq!(world.session_word(0, deadline_word(0)), JIFFIES + 300_000);
    assert_eq!(world.session_word(0, deadline_word(1)), JIFFIES);
    world.count(0, 1, 5);
    assert_eq!(world.mirror.remove(SessionId(1)).unwrap().far.packets, 5);
    assert_eq!(world.live(), 0);
    assert_eq!(world.mirror.gauges().traffic.packets, 5);
    assert_eq!(world.mirror.remove(SessionId(1)), None);
}

#[test]
fn two_clients_of_this_relay_share_one_kernel_session_while_both_have_a_channel() {
    let mut world = World::new(4);
    let a = world.turn(
        "192.0.2.1:1000",
        0x4000,
        "192.0.2.100:50000",
        "192.0.2.100:50001",
    );
    let b = world.turn(
        "192.0.2.2:2000",
        0x4001,
        "192.0.2.100:50001",
        "192.0.2.100:50000",
    );
    world.mirror.open_flow_port(a.far.local);
    world.mirror.open_flow_port(b.far.local);
    world.mirror.install(SessionId(1), a);
    world.route();
    let alone = "the peer is a client of this relay without a channel back";
    assert_eq!(world.reason(1).as_deref(), Some(alone));
    world.mirror.install(SessionId(2), b);
    world.route();
    assert_eq!(world.live(), 1);
    world.count(0, 0, 3);
    world.count(0, 1, 4);
    let (first, second) = (
        world.mirror.session(SessionId(1)),
        world.mirror.session(SessionId(2)),
    );
    assert!(first.in_kernel && second.in_kernel);
    assert_eq!(
        (first.traffic.near.packets, first.traffic.far.packets),
        (3, 4)
    );
    assert_eq!(
        (second.traffic.near.packets, second.traffic.far.packets),
        (4, 3)
    );
    assert_eq!(world.mirror.gauges().installed, 2);
    let gone = world.mirror.remove(SessionId(2)).unwrap();
    assert_eq!((gone.near.packets, gone.far.packets), (4, 3));
    assert_eq!(world.live(), 0);
    assert_eq!(world.reason(1).as_deref(), Some(alone));
    assert_eq!(world.mirror.session(SessionId(1)).traffic.near.packets, 3);
    assert_eq!(world.mirror.gauges().traffic.packets, 7);
}

#[test]
fn sessions_the_kernel_cannot_take_say_why() {
    let mut world = World::new(1);
    let relayed = "192.0.2.100:50000";
    let elsewhere = world.turn("192.0.2.1:1", 0x4000, relayed, "192.0.2.201:2");
    let here = world.turn("192.0.2.1:1", 0x4001, relayed, "192.0.2.100:7");
    let fits = world.turn("192.0.2.1:1", 0x4003, relayed, "192.0.2.3:2");
    let again = world.turn("192.0.2.1:1", 0x4003, relayed, "192.0.2.4:2");
    for (id, spec) in [elsewhere, here, fits, again].into_iter().enumerate() {
        world.mirror.install(SessionId(id as u64), spec);
        world.route();
    }
    let reasons: Vec<_> = (0..4)
        .map(|id| world.reason(id).unwrap_or_default())
        .collect();
    assert_eq!(
        reasons,
        [
            "192.0.2.201 is reached by eth1, which is not among the attached cards",
            "the peer is on this host",
            "",
            "another session already receives the same packets",
        ]
    );
    assert_eq!(world.mirror.gauges().failed_installs, 1);
}

#[test]
fn a_session_without_room_gets_the_next_free_slot_after_its_grace_period() {
    let mut world = World::new(1);
    let first = world.turn("192.0.2.1:1", 0x4000, "192.0.2.100:50000", "192.0.2.2:2");
    let second = world.turn("192.0.2.3:1", 0x4000, "192.0.2.100:50001", "192.0.2.2:2");
    world.mirror.install(SessionId(1), first);
    world.mirror.install(SessionId(2), second);
    world.route();
    let waiting = if world.reason(1).is_some() { 1 } else { 2 };
    assert_eq!(world.reason(waiting).as_deref(), Some("kernel table full"));
    world.mirror.remove(SessionId(3 - waiting));
    world.mirror.reconcile();
    assert_eq!(world.live(), 0);
    world.recycle();
    assert_eq!(world.live(), 1);
    assert_eq!(world.reason(waiting), None);
    assert_eq!(world.mirror.gauges().failed_installs, 1);
}

#[test]
fn network_changes_move_live_sessions_without_reinstalling_them() {
    let mut world = World::new(1);
    let spec = world.turn("192.0.2.1:1", 0x4000, "192.0.2.100:50000", "192.0.2.2:2");
    world.mirror.install(SessionId(1), spec);
    world.route();
    let index = world.session_word(0, next_hop_word(1)) as u32 as usize;
    let mac = |world: &World, index: usize| {
        let words = &world.mirror.kernel.memory().next_hops()[index * NEXT_HOP_WORDS..];
        (
            words[0].load(Relaxed).to_ne_bytes()[5],
            words[2].load(Relaxed) as u32,
        )
    };
    assert_eq!(mac(&world, index), (2, CARD));
    world.mirror.set_neighbour(CARD, ip(2), None);
    assert_eq!(mac(&world, index).1, 0);
    assert_eq!(
        world.reason(1).as_deref(),
        Some("the neighbour 192.0.2.2 on eth0 is not resolved")
    );
    assert_eq!(world.mirror.unresolved().len(), 1);
    let moved = Neighbour {
        mac: [2, 0, 0, 0, 1, 99],
        stale: true,
    };
    world.mirror.set_neighbour(CARD, ip(2), Some(moved));
    assert_eq!(mac(&world, index), (99, CARD));
    assert_eq!(world.mirror.stale().len(), 1);
    let key = RouteKey {
        remote: ip(2),
        local: ip(100),
    };
    let gateway = Route::Via {
        oif: CARD,
        neighbour: ip(8),
        mtu: 0,
    };
    world.mirror.set_route(key, gateway);
    let new = world.session_word(0, next_hop_word(1)) as u32 as usize;
    assert_eq!((mac(&world, new), mac(&world, index).1), ((8, CARD), 0));
    assert_eq!(world.session_word(0, 0), 1);
    world
        .mirror
        .set_route(key, Route::None("unreachable".to_owned()));
    assert_eq!(world.live(), 0);
    assert_eq!(
        world.reason(1).as_deref(),
        Some("no route to 192.0.2.2: unreachable")
    );
    world.mirror.reconcile();
    assert_eq!(world.mirror.gauges().drift, 0);
}
