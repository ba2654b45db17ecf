//! What the data path does with which packet: one table, run by every engine.
//!
//! A case lists every counter it moves and every leg it charges; an engine that moves another one fails.

mod across;
mod completed;
mod limited;
mod passed;
mod relayed;
mod shield;
mod world;

use relay_common::Counter;
use relay_common::engine::Verdict;

use crate::engine::Outcome;
use crate::packet::Udp;
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
    let mut cases = relayed::relayed(&w);
    cases.extend(across::across(&w));
    cases.extend(limited::limited(&w));
    cases.extend(completed::completed(&w));
    cases.extend(passed::passed(&w));
    cases
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
