//! The program in the kernel against the same engine on the host: mutated packets, byte for byte, with counters.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

use relay_common::checksum;
use relay_tests::cases::{cases, world};
use relay_tests::kernel::{KernelEngine, TEST_RUN_INGRESS};

/// A case's packet with some bytes changed, cut short or padded.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let packets: Vec<Vec<u8>> = cases()
        .into_iter()
        .map(|c| c.packet)
        .filter(|p| p.len() >= 14)
        .collect();
    let packet = prop::sample::select(packets);
    let edits = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (packet, edits, prop::option::weighted(0.2, 14usize..120)).prop_map(
        |(mut packet, edits, length)| {
            for (at, byte) in edits {
                let at = at.index(packet.len());
                packet[at] = byte;
            }
            if let Some(length) = length {
                packet.resize(length, 0);
            }
            packet
        },
    )
}

#[test]
fn the_kernel_and_the_host_agree_on_every_mutated_packet() {
    let Some(object) = relay_tests::privileged::xdp_object() else {
        return;
    };
    let world = world(TEST_RUN_INGRESS);
    let mut kernel = KernelEngine::new(&object, &world.tables).unwrap();
    let mut runner = TestRunner::new(Config {
        cases: 400,
        failure_persistence: None,
        ..Config::default()
    });
    let kernel = std::cell::RefCell::new(&mut kernel);
    runner
        .run(&mutated(), |packet| {
            let host = world.tables.run(&packet, TEST_RUN_INGRESS);
            let kernel = kernel.borrow_mut().run(&packet).unwrap();
            prop_assert_eq!(kernel, host);
            Ok(())
        })
        .unwrap();
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
