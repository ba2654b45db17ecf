//! What the memory alone takes of a packet's time: the reads and stores of the relay's tables, without the relay.

use anyhow::Result;
use relay_common::buckets_for;

use super::rig::{Memory, Rig};
use super::{Options, PATHS, Row, packets};

/// A target that reads and writes.
#[derive(Clone, Copy)]
pub struct Reads {
    pub name: &'static str,
    program: &'static str,
}

pub const ALL: [Reads; 2] = [
    Reads {
        name: "floor_index_then_slot",
        program: "one_after_the_other",
    },
    Reads {
        name: "floor_both_at_once",
        program: "both_at_once",
    },
];

/// In tables of the size the relay's have for so many flows.
pub fn measure(lab: &[u8], reads: Reads, flows: u32, options: &Options) -> Result<Row> {
    let (harness, frame) = packets(PATHS[0], flows, options);
    let memory = Memory {
        entries: buckets_for(flows),
        slots: flows.next_power_of_two(),
    };
    let mut target = Rig::new(lab, harness, memory)?;
    target.aim(reads.program)?;
    let mut nothing = Rig::new(lab, harness, Memory::NONE)?;
    nothing.aim("nothing")?;
    target.run(&frame, flows.saturating_mul(2).min(options.packets))?;
    let mut net = Vec::new();
    for _ in 0..options.rounds {
        let (with, without) = (
            target.run(&frame, options.packets)?,
            nothing.run(&frame, options.packets)?,
        );
        net.push(with - without);
    }
    Ok(Row::new(reads.name, flows, options, net))
}
