//! Sessions with limits: what is within them goes on, what is over them ends here.

use relay_common::Counter;
use relay_common::engine::Verdict;

use super::{Case, World, named, onward, sent};
use crate::engine::Outcome;
use crate::packet::{channel_data, udp};

/// What comes from whoever has a limit and what goes to it are counted apart.
pub fn limited(w: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    for (name, pair) in [("spent limit", &w.spent), ("limit", &w.limited)] {
        let (client, server) = (pair.client, pair.server);
        let up = udp(client, server, &channel_data(0x4001, b"up", 0));
        let down = udp(pair.peer, pair.relayed, b"down");
        let framed = channel_data(0x4001, b"down", 0);
        let upward = onward(udp(pair.relayed, pair.peer, b"up"));
        cases.push(sent(
            named(&[name, ", down"]),
            down,
            onward(udp(server, client, &framed)),
            pair.slot,
            1,
            4,
        ));
        cases.push(sent(named(&[name, ", up"]), up, upward, pair.slot, 0, 2));
    }
    let over = &mut cases[1];
    over.outcome = Outcome {
        verdict: Verdict::Drop,
        frame: over.packet.clone(),
        counters: vec![(Counter::RateLimited, 1)],
        charged: vec![],
        refused: vec![(w.spent.slot, 0)],
    };
    cases
}
