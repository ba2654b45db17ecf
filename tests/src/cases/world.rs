//! The sessions the cases are about.

use std::net::SocketAddr;

use relay_common::{Match, Meter, NextHop, Rate, Session, VLAN_NONE};

use crate::engine::MemoryTables;

/// Addresses of one session.
pub struct Pair {
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub relayed: SocketAddr,
    pub peer: SocketAddr,
    pub slot: u32,
}

/// Every session, by what is special about it.
pub struct World {
    pub tables: MemoryTables,
    pub turn_v4: Pair,
    pub turn_v6: Pair,
    pub forward: Pair,
    /// `peer` is the second client.
    pub hairpin: Pair,
    pub expired: Pair,
    pub recycled: Pair,
    pub unresolved: Pair,
    pub other_card: Pair,
    pub vlan: Pair,
    pub small_mtu: Pair,
    pub jumbo: Pair,
    /// Where checksums left to hardware stay so.
    pub generic: Pair,
    /// An IPv4 client of an IPv6 peer.
    pub cross: Pair,
    /// An IPv6 client of an IPv4 destination.
    pub cross_forward: Pair,
    /// An IPv4 client and an IPv6 one; `peer` is the second.
    pub cross_hairpin: Pair,
    /// Its client may send no more, but receive.
    pub spent: Pair,
    /// Within its limits in both directions, and its RTP is watched.
    pub limited: Pair,
    /// Where the RTP is kept.
    pub streams: u32,
}

const NEVER: u64 = u64::MAX;
const LONG_AGO: u64 = 1;

/// Tables with all of them installed; `ingress` is the interface packets come in by.
pub fn world(ingress: u32) -> World {
    let mut t = MemoryTables::new(64);
    let hop = NextHop {
        destination: [2; 6],
        source: [1; 6],
        vlan: VLAN_NONE,
        mtu: 1500,
        ifindex: ingress,
        card: 0,
        completes: 1,
        _pad: 0,
    };
    let near = t.next_hop(hop);
    let unresolved = t.next_hop(NextHop { ifindex: 0, ..hop });
    let generic = t.next_hop(NextHop {
        completes: 0,
        ..hop
    });
    let jumbo = t.next_hop(NextHop { mtu: 9000, ..hop });
    let other = t.next_hop(NextHop {
        destination: [7; 6],
        source: [8; 6],
        ifindex: ingress + 1,
        card: 1,
        ..hop
    });
    let tagged = t.next_hop(NextHop { vlan: 10, ..hop });
    let small = t.next_hop(NextHop { mtu: 600, ..hop });

    let turn_v4 = pair(
        &mut t,
        [
            "198.51.100.7:40000",
            "192.0.2.1:3478",
            "192.0.2.1:50000",
            "203.0.113.5:6000",
        ],
        0x4001,
        near,
        NEVER,
    );
    let turn_v6 = pair(
        &mut t,
        [
            "[2001:db8:1::7]:40000",
            "[2001:db8::1]:3478",
            "[2001:db8::1]:50001",
            "[2001:db8:2::5]:6000",
        ],
        0x4001,
        near,
        NEVER,
    );
    t.hint(turn_v6.slot, 1);
    let forward = pair(
        &mut t,
        [
            "198.51.100.7:41000",
            "192.0.2.1:5004",
            "192.0.2.1:50002",
            "203.0.113.5:5004",
        ],
        0,
        near,
        NEVER,
    );
    t.hint(forward.slot, 1);
    let hairpin = between_clients(
        &mut t,
        [
            ["198.51.100.7:47000", "192.0.2.1:3478"],
            ["198.51.100.8:47001", "192.0.2.1:3478"],
        ],
        near,
    );
    let expired = pair(
        &mut t,
        [
            "198.51.100.7:42000",
            "192.0.2.1:5004",
            "192.0.2.1:50004",
            "203.0.113.5:5005",
        ],
        0,
        near,
        LONG_AGO,
    );
    let recycled = pair(
        &mut t,
        [
            "198.51.100.7:43000",
            "192.0.2.1:5004",
            "192.0.2.1:50006",
            "203.0.113.5:5006",
        ],
        0,
        near,
        NEVER,
    );
    t.sessions[recycled.slot as usize].generation += 1;
    let unresolved = pair(
        &mut t,
        [
            "198.51.100.7:44000",
            "192.0.2.1:5004",
            "192.0.2.1:50008",
            "203.0.113.5:5007",
        ],
        0,
        unresolved,
        NEVER,
    );
    let other_card = pair(
        &mut t,
        [
            "198.51.100.7:45000",
            "192.0.2.1:5004",
            "192.0.2.1:50010",
            "203.0.113.5:5008",
        ],
        0,
        other,
        NEVER,
    );
    let vlan = pair(
        &mut t,
        [
            "198.51.100.8:40000",
            "192.0.2.1:3478",
            "192.0.2.1:50012",
            "203.0.113.5:5009",
        ],
        0x4001,
        tagged,
        NEVER,
    );
    let small_mtu = pair(
        &mut t,
        [
            "198.51.100.7:46000",
            "192.0.2.1:5004",
            "192.0.2.1:50014",
            "203.0.113.5:5010",
        ],
        0,
        small,
        NEVER,
    );
    let generic = pair(
        &mut t,
        [
            "198.51.100.7:46001",
            "192.0.2.1:5004",
            "192.0.2.1:50018",
            "203.0.113.5:5012",
        ],
        0,
        generic,
        NEVER,
    );
    let jumbo = pair(
        &mut t,
        [
            "198.51.100.7:46002",
            "192.0.2.1:5004",
            "192.0.2.1:50020",
            "203.0.113.5:5013",
        ],
        0,
        jumbo,
        NEVER,
    );
    let cross = pair(
        &mut t,
        [
            "198.51.100.9:40000",
            "192.0.2.1:3478",
            "[2001:db8::1]:50003",
            "[2001:db8:2::5]:6001",
        ],
        0x4001,
        near,
        NEVER,
    );
    let cross_forward = pair(
        &mut t,
        [
            "[2001:db8:1::9]:41000",
            "[2001:db8::1]:5004",
            "192.0.2.1:50016",
            "203.0.113.5:5011",
        ],
        0,
        near,
        NEVER,
    );
    let cross_hairpin = between_clients(
        &mut t,
        [
            ["198.51.100.9:47000", "192.0.2.1:3478"],
            ["[2001:db8:1::8]:47001", "[2001:db8::1]:3478"],
        ],
        near,
    );
    let spent = pair(
        &mut t,
        [
            "198.51.100.10:40000",
            "192.0.2.1:3478",
            "192.0.2.1:50018",
            "203.0.113.5:6003",
        ],
        0x4001,
        near,
        NEVER,
    );
    let limited = pair(
        &mut t,
        [
            "198.51.100.11:40000",
            "192.0.2.1:3478",
            "192.0.2.1:50020",
            "203.0.113.5:6004",
        ],
        0x4001,
        near,
        NEVER,
    );
    let rate = Rate::new(1_000_000_000, 1_000_000, 1_000_000_000, 250);
    let used_up = t.meter(Meter {
        rate,
        due: [u64::MAX / 2, 0],
        ..Meter::default()
    });
    let [own, user] = [0, 1].map(|_| {
        t.meter(Meter {
            rate,
            ..Meter::default()
        })
    });
    t.sessions[spent.slot as usize].legs[0].meters = [own, used_up];
    t.sessions[limited.slot as usize].legs[0].meters = [own, user];
    let streams = t.stream_place();
    t.sessions[limited.slot as usize].legs[0].streams = streams;
    World {
        tables: t,
        turn_v4,
        turn_v6,
        forward,
        hairpin,
        expired,
        recycled,
        unresolved,
        other_card,
        vlan,
        small_mtu,
        jumbo,
        generic,
        cross,
        cross_forward,
        cross_hairpin,
        spent,
        limited,
        streams,
    }
}

fn pair(
    t: &mut MemoryTables,
    addresses: [&str; 4],
    channel: u16,
    next_hop: u32,
    deadline: u64,
) -> Pair {
    let [client, server, relayed, peer] =
        addresses.map(|a| a.parse::<SocketAddr>().expect("an address"));
    let legs = [
        Match::new(client, server, channel),
        Match::new(peer, relayed, 0),
    ];
    let generation = t.sessions.len() as u32 + 1;
    let slot = t.install(Session::new(legs, [next_hop; 2], [deadline; 2]), generation);
    Pair {
        client,
        server,
        relayed,
        peer,
        slot,
    }
}

fn between_clients(t: &mut MemoryTables, ends: [[&str; 2]; 2], next_hop: u32) -> Pair {
    let [[client, server], [peer, relayed]] =
        ends.map(|end| end.map(|a| a.parse::<SocketAddr>().expect("an address")));
    let legs = [
        Match::new(client, server, 0x4002),
        Match::new(peer, relayed, 0x4003),
    ];
    let generation = t.sessions.len() as u32 + 1;
    let slot = t.install(Session::new(legs, [next_hop; 2], [NEVER; 2]), generation);
    Pair {
        client,
        server,
        relayed,
        peer,
        slot,
    }
}
