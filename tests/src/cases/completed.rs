//! Packets whose sender left the UDP checksum to hardware, and those that only look so.

use super::{Case, World, named, onward, sent};
use crate::packet::{Checksum, Udp, channel_data, udp};

/// Checksums that the sender left to hardware are made right; what only looks like one is relayed as it is.
pub fn completed(w: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [0, 1, 2, 3, 4, 55, 56, 57, 64, 119, 120, 1199, 1432] {
        let data: Vec<u8> = (0..length).map(|i| (i * 7 + 3) as u8).collect();
        for (name, turn) in [("v4", &w.turn_v4), ("v6", &w.turn_v6)] {
            let partial = |packet| Udp {
                checksum: Checksum::Partial,
                ..packet
            };
            let framed = channel_data(0x4001, &data, 0);
            cases.push(sent(
                named(&["left to hardware, channel to peer ", name]),
                partial(udp(turn.client, turn.server, &framed)),
                onward(udp(turn.relayed, turn.peer, &data)),
                turn.slot,
                0,
                data.len(),
            ));
            let data = &data[..data.len().min(1400)];
            cases.push(sent(
                named(&["left to hardware, peer to channel ", name]),
                partial(udp(turn.peer, turn.relayed, data)),
                onward(udp(
                    turn.server,
                    turn.client,
                    &channel_data(0x4001, data, 0),
                )),
                turn.slot,
                1,
                data.len(),
            ));
        }
    }
    let (from, to) = (w.generic.client, w.generic.server);
    let looks_unfinished = |word: &u16| {
        let right = udp(from, to, &word.to_be_bytes());
        let unfinished = Udp {
            checksum: Checksum::Partial,
            ..right.clone()
        };
        right.bytes() == unfinished.bytes()
    };
    let word = (0..=u16::MAX).find(looks_unfinished);
    let data = word.expect("one in 65,536").to_be_bytes();
    cases.push(sent(
        "a checksum that happens to be the sum of the pseudo header",
        udp(from, to, &data),
        onward(udp(w.generic.relayed, w.generic.peer, &data)),
        w.generic.slot,
        0,
        2,
    ));
    cases
}
