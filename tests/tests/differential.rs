//! The program in the kernel against the same engine on the host: random packets of random flows and damaged ones, byte
//! for byte with counters. `RELAY_SEED` repeats one run; every failure names the seed of its packet.

use std::collections::BTreeMap;

use proptest::prelude::*;

use relay_common::{Counter, checksum};
use relay_tests::cases::{cases, world};
use relay_tests::fuzz::Input;
use relay_tests::kernel::{KernelEngine, TEST_RUN_INGRESS};
use relay_tests::random::{Flows, bytes, flows};
use relay_tests::witness::judge;

/// Worlds of flows, and packets in each.
const WORLDS: u64 = 6;
const PACKETS: u64 = 1500;
/// `BPF_PROG_TEST_RUN` gives every frame headroom, and nobody changes it meanwhile. The shield has cases of its own.
const UNREACHABLE: [Counter; 7] = [
    Counter::NoRoom,
    Counter::RewriteFault,
    Counter::ShieldKnown,
    Counter::ShieldPrefix,
    Counter::ShieldTotal,
    Counter::ShieldJunk,
    Counter::ShieldClosed,
];

/// The seed of this run.
fn seed() -> u64 {
    let seed = match std::env::var("RELAY_SEED") {
        Ok(text) => text.parse().expect("RELAY_SEED is a number"),
        Err(_) => 0x5eed,
    };
    println!("RELAY_SEED={seed}");
    seed
}

/// How often each verdict came, and each way across families, over everything that was run.
#[derive(Default)]
struct Coverage {
    counters: BTreeMap<u32, u64>,
    /// Arrival and departure: IPv6 or not, with a channel or not.
    ways: BTreeMap<[(bool, bool); 2], u64>,
}

impl Coverage {
    fn add(&mut self, flows: &Flows, outcome: &relay_tests::engine::Outcome) {
        for (counter, count) in &outcome.counters {
            *self.counters.entry(*counter as u32).or_default() += count;
        }
        for (slot, leg, ..) in &outcome.charged {
            let ends = flows.ends[*slot as usize];
            let way = [*leg, 1 - leg].map(|leg| {
                let end = ends[leg as usize];
                (end.remote.is_ipv6(), end.channel != 0)
            });
            *self.ways.entry(way).or_default() += 1;
        }
    }

    fn assert_whole(&self) {
        for counter in Counter::ALL.iter().filter(|c| !UNREACHABLE.contains(c)) {
            let count = self.counters.get(&(*counter as u32)).copied();
            assert!(count.is_some(), "no packet was {}", counter.name());
        }
        assert_eq!(self.ways.len(), 16, "{:?}", self.ways);
    }
}

/// The `number`th packet of these flows.
fn nth(flows: &Flows, seed: u64, number: u64) -> relay_tests::random::Sent {
    let choices = bytes(seed ^ number << 20, 64);
    flows.packet(&mut Input(&choices))
}

#[test]
fn random_packets_of_random_flows_are_sent_as_expected_by_the_host_engine() {
    let (seed, mut coverage) = (seed(), Coverage::default());
    for world in seed..seed + 8 * WORLDS {
        let flows = flows(world, TEST_RUN_INGRESS);
        for number in 0..PACKETS {
            let sent = nth(&flows, world, number);
            let outcome = flows.tables.run(&sent.packet, TEST_RUN_INGRESS);
            println!("world {world} packet {number}: {:?}", outcome.counters);
            judge(&flows, &sent.packet, &outcome);
            flows.compare(&sent, &outcome);
            coverage.add(&flows, &outcome);
        }
    }
    coverage.assert_whole();
}

#[test]
fn the_kernel_and_the_host_agree_on_random_packets_of_random_flows() {
    let Some(object) = relay_tests::privileged::xdp_object() else {
        return;
    };
    let (seed, mut coverage) = (seed(), Coverage::default());
    for world in seed..seed + WORLDS {
        let flows = flows(world, TEST_RUN_INGRESS);
        let mut kernel = KernelEngine::new(&object, &flows.tables).unwrap();
        for number in 0..PACKETS {
            let sent = nth(&flows, world, number);
            // BPF_PROG_TEST_RUN takes no frame shorter than an Ethernet header.
            if sent.packet.len() < 14 {
                continue;
            }
            let host = flows.tables.run(&sent.packet, TEST_RUN_INGRESS);
            let real = kernel.run(&sent.packet).unwrap();
            assert_eq!(
                real, host,
                "RELAY_SEED={seed}: world {world} packet {number}"
            );
            coverage.add(&flows, &real);
        }
    }
    coverage.assert_whole();
}

#[test]
fn the_kernel_and_the_host_agree_on_damaged_packets_of_every_case() {
    let Some(object) = relay_tests::privileged::xdp_object() else {
        return;
    };
    let (seed, world) = (seed(), world(TEST_RUN_INGRESS));
    let mut kernel = KernelEngine::new(&object, &world.tables).unwrap();
    for (index, case) in cases()
        .iter()
        .enumerate()
        .filter(|c| c.1.packet.len() >= 14)
    {
        for round in 0..10 {
            let choices = bytes(seed ^ (index as u64) << 8 ^ round, 16);
            let (input, mut packet) = (&mut Input(&choices), case.packet.clone());
            for _ in 0..input.below(4) {
                let at = usize::from(input.word()) % packet.len();
                packet[at] = input.byte();
            }
            if input.below(5) == 0 {
                packet.resize(14 + input.below(106), 0);
            }
            let host = world.tables.run(&packet, TEST_RUN_INGRESS);
            let real = kernel.run(&packet).unwrap();
            assert_eq!(real, host, "RELAY_SEED={seed}: {} round {round}", case.name);
        }
    }
}

proptest! {
    #[test]
    fn the_host_engine_never_panics_and_never_touches_what_it_passes(packet in prop::collection::vec(any::<u8>(), 0..200)) {
        let world = world(TEST_RUN_INGRESS);
        let outcome = world.tables.run(&packet, TEST_RUN_INGRESS);
        if outcome.verdict == relay_common::engine::Verdict::Pass {
            prop_assert_eq!(outcome.frame, packet);
        }
    }

    #[test]
    fn an_adjusted_checksum_is_the_recomputed_one(
        bytes in prop::collection::vec(any::<u8>(), 2..64).prop_filter("even", |b| b.len() % 2 == 0),
        at in any::<prop::sample::Index>(),
        word in any::<u16>(),
    ) {
        let before = !checksum::fold(checksum::sum(&bytes));
        let at = at.index(bytes.len() / 2) * 2;
        let mut changed = bytes.clone();
        changed[at..at + 2].copy_from_slice(&word.to_ne_bytes());
        let old = u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        let after = !checksum::fold(checksum::sum(&changed));
        let updated = checksum::update(before, old, word);
        // 0x0000 and 0xffff are the same number in ones' complement.
        prop_assert_eq!(updated % 0xffff, after % 0xffff);
    }
}
