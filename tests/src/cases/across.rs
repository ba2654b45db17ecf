//! Sessions whose two sides are of different families.

use super::{Case, World, named, onward, sent};
use crate::packet::{Udp, channel_data, udp};

/// IPv4 in and IPv6 out, and back: every header is new but DSCP, ECN and hop limit.
pub fn across(w: &World) -> Vec<Case> {
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
