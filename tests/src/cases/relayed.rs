//! What is relayed within one family.

use relay_common::Counter;
use relay_common::engine::Verdict;

use super::{Case, World, named, onward, sent};
use crate::packet::{Checksum, Udp, channel_data, udp};

pub fn relayed(w: &World) -> Vec<Case> {
    let all = [by_channels, by_forwards, between_clients, kept, by_cards];
    all.into_iter().flat_map(|cases| cases(w)).collect()
}

fn by_channels(w: &World) -> Vec<Case> {
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
    cases
}

fn by_forwards(w: &World) -> Vec<Case> {
    let mut cases = Vec::new();
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
    cases
}

/// Of one relay.
fn between_clients(w: &World) -> Vec<Case> {
    let mut cases = Vec::new();
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
    cases
}

/// What a packet keeps on its way.
fn kept(w: &World) -> Vec<Case> {
    let mut cases = Vec::new();
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
    cases
}

/// What depends on the card it leaves by.
fn by_cards(w: &World) -> Vec<Case> {
    let mut cases = Vec::new();
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
