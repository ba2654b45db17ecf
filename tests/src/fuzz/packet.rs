//! The packet engine: any frame, and packets that are nearly right, under random flows.

use std::cell::OnceCell;

use crate::engine::Outcome;
use crate::kernel::TEST_RUN_INGRESS;
use crate::random::{Flows, Sent, flows};
use crate::witness::judge;

use super::input::Input;

/// Tables are large; so many are made once.
const WORLDS: usize = 8;

thread_local! {
    static FLOWS: [OnceCell<Flows>; WORLDS] = const { [const { OnceCell::new() }; WORLDS] };
}

/// Which flows, then a frame as it is, or choices that make one.
pub fn packet(input: &[u8]) {
    let mut input = Input(input);
    let (seed, raw) = (input.below(WORLDS), input.flag());
    FLOWS.with(|worlds| {
        let flows = worlds[seed].get_or_init(|| flows(seed as u64, TEST_RUN_INGRESS));
        let sent = match raw {
            true => Sent {
                packet: input.rest().to_vec(),
                expected: None,
            },
            false => flows.packet(&mut input),
        };
        let outcome = flows.tables.run(&sent.packet, TEST_RUN_INGRESS);
        judge(flows, &sent.packet, &outcome);
        flows.compare(&sent, &outcome);
    });
}

impl Flows {
    /// What nothing stands against leaves exactly as expected.
    pub fn compare(&self, sent: &Sent, outcome: &Outcome) {
        let Some((slot, leg, out)) = &sent.expected else {
            return;
        };
        let session = &self.tables.sessions[*slot];
        let hop = &self.tables.next_hops[session.legs[1 - leg].next_hop as usize];
        let size = out.payload.len() + 8 + if out.to.is_ipv4() { 20 } else { 40 };
        let free = session.generation == *slot as u32 + 1
            && session.legs[*leg].deadline > self.tables.jiffies
            && hop.ifindex != 0
            && !self.is_spent(*slot, *leg)
            && out.hop_limit > 0
            && size <= hop.mtu.into();
        assert_eq!(outcome.charged.len(), usize::from(free), "{outcome:?}");
        if free {
            assert_eq!(outcome.frame, out.bytes());
        }
    }
}
