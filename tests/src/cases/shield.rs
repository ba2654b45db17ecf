//! What the shield does with which packet when it lets nobody through, or all: rates are tested where time is.

use std::net::SocketAddr;

use relay_common::engine::Verdict;
use relay_common::{Counter, OWN_PORT, PORT_IS_OPEN, Pace, Paces, port_index};

use super::{Case, World, world};
use crate::engine::{MemoryTables, Outcome};
use crate::packet::{Udp, channel_data, udp};

/// Tables under some limits, and what must follow there.
pub struct Siege {
    pub name: &'static str,
    pub tables: MemoryTables,
    pub cases: Vec<Case>,
}

const ALL: Pace = Pace {
    cost: 1,
    burst: 1 << 24,
};
const NOBODY: Pace = Pace { cost: 2, burst: 1 };
const OPEN: Paces = Paces {
    strangers: [ALL; 2],
    junk: [ALL; 2],
    address: ALL,
    known: ALL,
    closed: ALL,
    range: [50_000, 60_000],
};

/// The sessions of [`world`], whose clients and peers are known, besieged.
pub fn sieges(ingress: u32) -> Vec<Siege> {
    let no_strangers = Paces {
        strangers: [NOBODY, ALL],
        junk: [NOBODY, ALL],
        closed: NOBODY,
        ..OPEN
    };
    let no_strangers_more = Paces {
        strangers: [ALL, NOBODY],
        junk: [ALL, NOBODY],
        ..OPEN
    };
    let not_even_known = Paces {
        address: NOBODY,
        known: NOBODY,
        ..OPEN
    };
    let all = [None; 3];
    vec![
        siege("everybody may", ingress, OPEN, all),
        siege(
            "no strangers of a prefix may",
            ingress,
            no_strangers,
            [None, Some(Counter::ShieldPrefix), Some(Counter::ShieldJunk)],
        ),
        siege(
            "no more strangers may",
            ingress,
            no_strangers_more,
            [None, Some(Counter::ShieldTotal), Some(Counter::ShieldJunk)],
        ),
        siege(
            "only strangers may",
            ingress,
            not_even_known,
            [Some(Counter::ShieldKnown), None, None],
        ),
    ]
}

/// `fates` are those of the known, of strangers and of junk; `None`: passed for its own reason.
fn siege(name: &'static str, ingress: u32, paces: Paces, fates: [Option<Counter>; 3]) -> Siege {
    let mut w = world(ingress);
    w.tables.paces = paces;
    for pair in [&w.turn_v4, &w.turn_v6] {
        w.tables.know(pair.client, 0);
        w.tables.know(with_port(pair.client, 0), 0);
        w.tables.know(with_port(pair.peer, 0), pair.relayed.port());
        w.tables.know(with_port(pair.server, OWN_PORT), OWN_PORT);
    }
    let (client, server) = (w.forward.client, w.forward.server);
    w.tables.know(client, server.port());
    w.tables.ports[port_index(false, server.port()) as usize].kind |= PORT_IS_OPEN;
    let cases = besieged(&w, &paces, fates);
    Siege {
        name,
        tables: w.tables,
        cases,
    }
}

fn besieged(w: &World, paces: &Paces, [known, stranger, junk]: [Option<Counter>; 3]) -> Vec<Case> {
    use Counter::{BadLength, NoSession, NotChannelData};
    let mut cases = Vec::new();
    let unbound = channel_data(0x4abc, b"x", 0);
    let mut lying = channel_data(0x4001, b"lying", 0);
    lying[3] = 1;
    let mut classic = stun();
    classic[4] = 0;
    for (turn, other) in [
        (&w.turn_v4, "203.0.113.99:9"),
        (&w.turn_v6, "[2001:db8:9::9]:9"),
    ] {
        let other: SocketAddr = other.parse().expect("an address");
        let elsewhere = with_port(turn.client, 999);
        let peers_other_port = with_port(turn.peer, 999);
        for (name, from, to, payload, reason, fate) in [
            (
                "STUN of a client",
                turn.client,
                turn.server,
                &stun(),
                NotChannelData,
                known,
            ),
            (
                "STUN of its host",
                elsewhere,
                turn.server,
                &stun(),
                NotChannelData,
                known,
            ),
            (
                "unbound channel of a client",
                turn.client,
                turn.server,
                &unbound,
                NoSession,
                known,
            ),
            (
                "wrong length of a client",
                turn.client,
                turn.server,
                &lying,
                BadLength,
                known,
            ),
            (
                "permitted peer",
                peers_other_port,
                turn.relayed,
                &unbound,
                NoSession,
                known,
            ),
            (
                "STUN of a stranger",
                other,
                turn.server,
                &stun(),
                NotChannelData,
                stranger,
            ),
            (
                "junk of a client",
                turn.client,
                turn.server,
                &vec![0xa7; 30],
                NotChannelData,
                junk,
            ),
            (
                "STUN without cookie",
                turn.client,
                turn.server,
                &classic,
                NotChannelData,
                junk,
            ),
            (
                "empty datagram",
                other,
                turn.server,
                &vec![],
                NotChannelData,
                junk,
            ),
            (
                "unbound channel of a client's host",
                elsewhere,
                turn.server,
                &unbound,
                NoSession,
                junk,
            ),
            (
                "wrong length of a stranger",
                other,
                turn.server,
                &lying,
                BadLength,
                junk,
            ),
            (
                "peer without permission",
                other,
                turn.relayed,
                &stun(),
                NoSession,
                junk,
            ),
        ] {
            cases.push(case(name, udp(from, to, payload).bytes(), reason, fate));
        }
    }
    let (t, f) = (&w.turn_v4, &w.forward);
    let other: SocketAddr = "203.0.113.99:9".parse().expect("an address");
    let tagged = Udp {
        vlan: Some(10),
        ..udp(other, t.server, &stun())
    };
    let fragment = Udp {
        fragment: 0x2000,
        ..udp(other, t.server, &stun())
    };
    let options = Udp {
        options: vec![1; 4],
        ..udp(other, t.server, &stun())
    };
    let closed = "192.0.2.1:59999".parse().expect("an address");
    let nobodys = paces.closed == NOBODY;
    let elsewhere = "192.0.2.77:3478".parse().expect("an address");
    let closed_elsewhere = "192.0.2.77:59999".parse().expect("an address");
    let not_ours = "192.0.2.1:53".parse().expect("an address");
    let session = udp(w.expired.client, w.expired.server, b"x").bytes();
    cases.extend([
        case("STUN in a VLAN", tagged.bytes(), NotChannelData, stranger),
        case(
            "new client of a forward",
            udp(other, f.server, b"x").bytes(),
            NoSession,
            stranger,
        ),
        case(
            "another port of a forward's client",
            udp(with_port(f.client, 999), f.server, b"x").bytes(),
            NoSession,
            stranger,
        ),
        case("fragment", fragment.bytes(), Counter::Fragment, None),
        case("IP options", options.bytes(), Counter::IpOptions, None),
        case(
            "port of the range nobody opened",
            udp(other, closed, b"x").bytes(),
            Counter::NotOurs,
            nobodys.then_some(Counter::ShieldClosed),
        ),
        case(
            "such a port of another host, for which this one is a router",
            udp(other, closed_elsewhere, b"x").bytes(),
            Counter::NotOurs,
            None,
        ),
        case(
            "STUN to another host",
            udp(other, elsewhere, &stun()).bytes(),
            NotChannelData,
            None,
        ),
        case(
            "other traffic of the host",
            udp(other, not_ours, b"x").bytes(),
            Counter::NotOurs,
            None,
        ),
        case("session over its deadline", session, Counter::Expired, None),
    ]);
    cases
}

fn case(name: &'static str, packet: Vec<u8>, reason: Counter, fate: Option<Counter>) -> Case {
    Case {
        name,
        outcome: Outcome {
            verdict: if fate.is_some() {
                Verdict::Drop
            } else {
                Verdict::Pass
            },
            frame: packet.clone(),
            counters: vec![(fate.unwrap_or(reason), 1)],
            charged: vec![],
            refused: vec![],
        },
        packet,
    }
}

fn with_port(address: SocketAddr, port: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), port)
}

fn stun() -> Vec<u8> {
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    stun.extend([1; 12]);
    stun
}

/// A packet to some port.
pub type ToPort = Box<dyn Fn(u16) -> Vec<u8>>;

/// Tables that let nothing through to closed ports, and packets to a port of this host of either family.
pub fn closed_port_siege() -> (MemoryTables, [ToPort; 2]) {
    let mut tables = MemoryTables::new(64);
    tables.paces = Paces {
        closed: NOBODY,
        ..OPEN
    };
    let ends = [
        ["203.0.113.99:9", "192.0.2.1:0"],
        ["[2001:db8:9::9]:9", "[2001:db8::1]:0"],
    ];
    let packets = ends.map(|ends| {
        let [from, to] = ends.map(|a| a.parse::<SocketAddr>().expect("an address"));
        tables.know(with_port(to, OWN_PORT), OWN_PORT);
        Box::new(move |port| udp(from, with_port(to, port), b"x").bytes()) as ToPort
    });
    (tables, packets)
}
