//! What the data path does with which packet: one table, run by every engine.
//!
//! A case lists every counter it moves and every leg it charges; an engine that moves another one fails.

mod completed;
mod limited;
mod shield;
mod world;

use relay_common::Counter;
use relay_common::engine::Verdict;

use crate::engine::Outcome;
use crate::packet::{Checksum, Udp, channel_data, udp};
pub use shield::{Siege, closed_port_siege, sieges};
pub use world::{World, world};

/// One packet and all that must follow from it.
pub struct Case {
    pub name: &'static str,
    pub packet: Vec<u8>,
    pub outcome: Outcome,
}

/// The table, for the sessions of [`world`].
pub fn cases() -> Vec<Case> {
    let w = world(crate::kernel::TEST_RUN_INGRESS);
    let mut cases = relayed(&w);
    cases.extend(across_families(&w));
    cases.extend(limited::limited(&w));
    cases.extend(completed::completed(&w));
    cases.extend(passed(&w));
    cases
}

/// IPv4 in and IPv6 out, and back: every header is new but DSCP, ECN and hop limit.
fn across_families(w: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let framed = |channel: u16, data: &[u8]| match channel {
        0 => data.to_vec(),
        _ => channel_data(channel, data, 0),
    };
    for (name, pair, channels) in [
        ("channel and peer", &w.cross, [0x4001, 0]),
        ("forward", &w.cross_forward, [0, 0]),
        ("channel and channel", &w.cross_hairpin, [0x4002, 0x4003]),
    ] {
        let ends = [(pair.client, pair.server), (pair.peer, pair.relayed)];
        for leg in 0..2 {
            let (sender, to) = ends[leg];
            let (receiver, from) = ends[1 - leg];
            for data in [&b""[..], b"odd", b"even"] {
                let out = Udp {
                    flow_label: w.tables.sessions[pair.slot as usize].legs[leg]
                        .checksum_delta
                        .into(),
                    id: 0,
                    ..onward(udp(from, receiver, &framed(channels[1 - leg], data)))
                };
                cases.push(sent(
                    named(&[
                        name,
                        if sender.is_ipv4() {
                            " v4 to v6"
                        } else {
                            " v6 to v4"
                        },
                    ]),
                    udp(sender, to, &framed(channels[leg], data)),
                    out,
                    pair.slot,
                    leg as u32,
                    data.len(),
                ));
            }
        }
    }
    cases
}

fn relayed(w: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for (family, turn) in [("v4", &w.turn_v4), ("v6", &w.turn_v6)] {
        for (name, data) in [
            ("", &b"hello"[..]),
            (" of even length", b"hello!"),
            (" without data", b""),
        ] {
            let packet = udp(turn.client, turn.server, &channel_data(0x4001, data, 0));
            let out = onward(udp(turn.relayed, turn.peer, data));
            cases.push(sent(
                named(&["channel to peer ", family, name]),
                packet,
                out,
                turn.slot,
                0,
                data.len(),
            ));
            let packet = udp(turn.peer, turn.relayed, data);
            let out = onward(udp(
                turn.server,
                turn.client,
                &channel_data(0x4001, data, 0),
            ));
            cases.push(sent(
                named(&["peer to channel ", family, name]),
                packet,
                out,
                turn.slot,
                1,
                data.len(),
            ));
        }
        for padding in 1..=3 {
            for data in [&b"odd"[..], b"even"] {
                let packet = udp(
                    turn.client,
                    turn.server,
                    &channel_data(0x4001, data, padding),
                );
                let out = Udp {
                    trailer: vec![0x5a; padding],
                    ..onward(udp(turn.relayed, turn.peer, data))
                };
                cases.push(sent(
                    named(&["padded channel to peer ", family]),
                    packet,
                    out,
                    turn.slot,
                    0,
                    data.len(),
                ));
            }
        }
        let packet = Udp {
            checksum: Checksum::Wrong,
            ..udp(turn.client, turn.server, &channel_data(0x4001, b"x", 0))
        };
        let out = Udp {
            checksum: Checksum::Wrong,
            ..onward(udp(turn.relayed, turn.peer, b"x"))
        };
        cases.push(Case {
            name: named(&["damaged packet stays damaged ", family]),
            ..wrong_sum(packet, out, turn.slot)
        });
    }
    let f = &w.forward;
    cases.push(sent(
        "forward to destination",
        udp(f.client, f.server, b"rtp"),
        onward(udp(f.relayed, f.peer, b"rtp")),
        f.slot,
        0,
        3,
    ));
    cases.push(sent(
        "forward to client",
        udp(f.peer, f.relayed, b"rtcp"),
        onward(udp(f.server, f.client, b"rtcp")),
        f.slot,
        1,
        4,
    ));
    let short = Udp {
        trailer: vec![0; 20],
        ..udp(f.client, f.server, b"")
    };
    let out = Udp {
        trailer: vec![0; 20],
        ..onward(udp(f.relayed, f.peer, b""))
    };
    cases.push(sent(
        "short frame with Ethernet padding",
        short,
        out,
        f.slot,
        0,
        0,
    ));
    let h = &w.hairpin;
    let packet = udp(h.client, h.server, &channel_data(0x4002, b"to you", 0));
    let out = onward(udp(h.server, h.peer, &channel_data(0x4003, b"to you", 0)));
    cases.push(sent("channel to channel", packet, out, h.slot, 0, 6));
    let packet = udp(h.peer, h.server, &channel_data(0x4003, b"and back", 2));
    let out = Udp {
        trailer: vec![0x5a; 2],
        ..onward(udp(
            h.server,
            h.client,
            &channel_data(0x4002, b"and back", 0),
        ))
    };
    cases.push(sent(
        "channel to channel, back and padded",
        packet,
        out,
        h.slot,
        1,
        8,
    ));
    let t = &w.turn_v4;
    let packet = Udp {
        checksum: Checksum::Zero,
        ..udp(t.client, t.server, &channel_data(0x4001, b"no sum", 0))
    };
    let out = Udp {
        checksum: Checksum::Zero,
        ..onward(udp(t.relayed, t.peer, b"no sum"))
    };
    cases.push(sent(
        "zero checksum stays zero on v4",
        packet,
        out,
        t.slot,
        0,
        6,
    ));
    let packet = Udp {
        tos: 0x03,
        id: 0xffff,
        fragment: 0,
        hop_limit: 2,
        ..udp(t.peer, t.relayed, b"m")
    };
    let out = onward(Udp {
        tos: 0x03,
        id: 0xffff,
        fragment: 0,
        hop_limit: 2,
        ..udp(t.server, t.client, &channel_data(0x4001, b"m", 0))
    });
    cases.push(sent("ECN, id and last hop kept", packet, out, t.slot, 1, 1));
    // A word that makes the sum of the outgoing packet zero, which is sent as all ones.
    let out = onward(udp(t.relayed, t.peer, &[0, 0])).bytes();
    let data = &out[40..42];
    cases.push(sent(
        "a checksum that comes out as zero",
        udp(t.client, t.server, &channel_data(0x4001, data, 0)),
        onward(udp(t.relayed, t.peer, data)),
        t.slot,
        0,
        2,
    ));
    let o = &w.other_card;
    let out = Udp {
        macs: ([7; 6], [8; 6]),
        ..onward(udp(o.relayed, o.peer, b"away"))
    };
    let mut case = sent(
        "out of another card",
        udp(o.client, o.server, b"away"),
        out,
        o.slot,
        0,
        4,
    );
    case.outcome.verdict = Verdict::Redirect(1);
    case.outcome.counters = vec![(Counter::Redirected, 1)];
    cases.push(case);
    let s = &w.small_mtu;
    cases.push(sent(
        "exactly as big as the outgoing link takes",
        udp(s.client, s.server, &[7; 572]),
        onward(udp(s.relayed, s.peer, &[7; 572])),
        s.slot,
        0,
        572,
    ));
    let v = &w.vlan;
    let packet = Udp {
        vlan: Some(0x600a),
        ..udp(v.client, v.server, &channel_data(0x4001, b"tagged", 0))
    };
    let out = Udp {
        vlan: Some(0x600a),
        ..onward(udp(v.relayed, v.peer, b"tagged"))
    };
    cases.push(sent(
        "VLAN tag and its priority kept",
        packet,
        out,
        v.slot,
        0,
        6,
    ));
    cases
}

fn passed(w: &World) -> Vec<Case> {
    let (t, v6, f) = (&w.turn_v4, &w.turn_v6, &w.forward);
    let channel = |data: &[u8]| udp(t.client, t.server, &channel_data(0x4001, data, 0));
    let other = "203.0.113.99:9".parse().expect("an address");
    let mut stun = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    stun.extend([1; 12]);
    let long_udp = |delta: i32| {
        let mut bytes = channel(b"length").bytes();
        bytes[39] = (i32::from(bytes[39]) + delta) as u8;
        bytes
    };
    let mut arp = vec![0xff; 12];
    arp.extend([0x08, 0x06, 0, 1]);
    let mut tcp = channel(b"x").bytes();
    tcp[23] = 6;
    let lying = |length: u16| {
        let mut payload = channel_data(0x4001, b"lying", 0);
        payload[2..4].copy_from_slice(&length.to_be_bytes());
        udp(t.client, t.server, &payload)
    };
    [
        ("ARP", arp, Counter::NotIp),
        ("runt", vec![0; 13], Counter::NotIp),
        ("TCP", tcp, Counter::NotUdp),
        (
            "UDP to another service",
            udp(t.client, "192.0.2.1:53".parse().expect("an address"), b"x").bytes(),
            Counter::NotOurs,
        ),
        (
            "UDP to a port only IPv6 uses",
            udp(
                t.client,
                "192.0.2.1:50001".parse().expect("an address"),
                b"x",
            )
            .bytes(),
            Counter::NotOurs,
        ),
        (
            "STUN",
            udp(t.client, t.server, &stun).bytes(),
            Counter::NotChannelData,
        ),
        (
            "empty datagram to the TURN port",
            udp(t.client, t.server, b"").bytes(),
            Counter::NotChannelData,
        ),
        (
            "channel nobody bound",
            udp(t.client, t.server, &channel_data(0x4abc, b"x", 0)).bytes(),
            Counter::NoSession,
        ),
        (
            "channel of somebody else",
            udp(other, t.server, &channel_data(0x4001, b"x", 0)).bytes(),
            Counter::NoSession,
        ),
        (
            "stranger to a relayed address",
            udp(other, t.relayed, b"x").bytes(),
            Counter::NoSession,
        ),
        (
            "new client of a forward",
            udp(other, f.server, b"x").bytes(),
            Counter::NoSession,
        ),
        (
            "session over its deadline",
            udp(w.expired.client, w.expired.server, b"x").bytes(),
            Counter::Expired,
        ),
        (
            "generation that is gone",
            udp(w.recycled.client, w.recycled.server, b"x").bytes(),
            Counter::NoSession,
        ),
        (
            "first fragment",
            Udp {
                fragment: 0x2000,
                ..channel(b"x")
            }
            .bytes(),
            Counter::Fragment,
        ),
        (
            "later fragment",
            Udp {
                fragment: 0x0010,
                ..channel(b"x")
            }
            .bytes(),
            Counter::Fragment,
        ),
        (
            "IP options",
            Udp {
                options: vec![1, 1, 1, 1],
                ..channel(b"x")
            }
            .bytes(),
            Counter::IpOptions,
        ),
        (
            "IPv6 destination options",
            Udp {
                extension: Some(60),
                ..udp(v6.client, v6.server, b"x")
            }
            .bytes(),
            Counter::ExtensionHeader,
        ),
        (
            "IPv6 fragment",
            Udp {
                extension: Some(44),
                ..udp(v6.client, v6.server, b"x")
            }
            .bytes(),
            Counter::ExtensionHeader,
        ),
        (
            "UDP longer than its packet",
            long_udp(1),
            Counter::BadLength,
        ),
        (
            "UDP shorter than its packet",
            long_udp(-1),
            Counter::BadLength,
        ),
        (
            "ChannelData longer than its datagram",
            lying(6).bytes(),
            Counter::BadLength,
        ),
        (
            "ChannelData with more than padding behind it",
            lying(1).bytes(),
            Counter::BadLength,
        ),
        (
            "ChannelData of 65535 bytes",
            lying(0xffff).bytes(),
            Counter::BadLength,
        ),
        (
            "packet cut short",
            channel(b"cut").bytes()[..46].to_vec(),
            Counter::BadLength,
        ),
        (
            "hop limit used up",
            Udp {
                hop_limit: 1,
                ..channel(b"x")
            }
            .bytes(),
            Counter::HopLimit,
        ),
        (
            "IPv6 without checksum",
            Udp {
                checksum: Checksum::Zero,
                ..udp(v6.peer, v6.relayed, b"x")
            }
            .bytes(),
            Counter::ZeroChecksum,
        ),
        (
            "checksum left to hardware where the kernel would compute it again",
            Udp {
                checksum: Checksum::Partial,
                ..udp(w.generic.client, w.generic.server, b"x")
            }
            .bytes(),
            Counter::PartialChecksum,
        ),
        (
            "checksum left to hardware of a packet larger than is added up",
            Udp {
                checksum: Checksum::Partial,
                ..udp(w.jumbo.client, w.jumbo.server, &[1; 2041])
            }
            .bytes(),
            Counter::PartialChecksum,
        ),
        (
            "unresolved neighbour",
            udp(w.unresolved.client, w.unresolved.server, b"x").bytes(),
            Counter::NoNextHop,
        ),
        (
            "too big for the outgoing link",
            udp(w.small_mtu.client, w.small_mtu.server, &[0; 573]).bytes(),
            Counter::TooBig,
        ),
        (
            "untagged frame of a tagged session",
            udp(w.vlan.client, w.vlan.server, &channel_data(0x4001, b"x", 0)).bytes(),
            Counter::VlanChange,
        ),
        (
            "tagged frame of an untagged session",
            Udp {
                vlan: Some(10),
                ..channel(b"x")
            }
            .bytes(),
            Counter::VlanChange,
        ),
        (
            "without checksum towards IPv6",
            Udp {
                checksum: Checksum::Zero,
                ..udp(
                    w.cross.client,
                    w.cross.server,
                    &channel_data(0x4001, b"x", 0),
                )
            }
            .bytes(),
            Counter::ZeroChecksum,
        ),
    ]
    .map(|(name, packet, reason)| Case {
        name,
        outcome: Outcome {
            verdict: Verdict::Pass,
            frame: packet.clone(),
            counters: vec![(reason, 1)],
            charged: vec![],
            refused: vec![],
        },
        packet,
    })
    .into()
}

fn sent(name: &'static str, packet: Udp, out: Udp, slot: u32, leg: u32, bytes: usize) -> Case {
    let outcome = Outcome {
        verdict: Verdict::Transmit,
        frame: out.bytes(),
        counters: vec![(Counter::Transmitted, 1)],
        charged: vec![(slot, leg, 1, bytes as u64)],
        refused: vec![],
    };
    Case {
        name,
        packet: packet.bytes(),
        outcome,
    }
}

/// The builder's wrong checksum is off by the same amount before and after, in ones' complement.
fn wrong_sum(packet: Udp, out: Udp, slot: u32) -> Case {
    let right = |p: &Udp| {
        Udp {
            checksum: Checksum::Right,
            ..p.clone()
        }
        .bytes()
    };
    let (before, mut after) = (packet.bytes(), right(&out));
    let at = |from: std::net::SocketAddr| if from.is_ipv4() { 40 } else { 60 };
    let read = |b: &[u8], i: usize| u32::from(b[i]) << 8 | u32::from(b[i + 1]);
    let error = read(&before, at(packet.from)) + 0xffff - read(&right(&packet), at(packet.from));
    let i = at(out.from);
    let sum = read(&after, i) + error;
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    after[i..i + 2].copy_from_slice(&(folded as u16).to_be_bytes());
    let mut case = sent("", packet, out, slot, 0, 1);
    case.outcome.frame = after;
    case
}

/// How a packet looks when it leaves: other MACs, one hop less.
fn onward(packet: Udp) -> Udp {
    Udp {
        macs: ([2; 6], [1; 6]),
        hop_limit: packet.hop_limit - 1,
        ..packet
    }
}

fn named(parts: &[&str]) -> &'static str {
    parts.concat().leak()
}
