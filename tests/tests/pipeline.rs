//! The table of packet cases, on the host engine, on the real program in the kernel and on the wire.

use aya::programs::XdpMode;
use relay_tests::cases::{cases, world};
use relay_tests::kernel::{KernelEngine, TEST_RUN_INGRESS};
use relay_tests::wire::WireEngine;

#[test]
fn the_host_engine_does_what_the_cases_say() {
    let world = world(TEST_RUN_INGRESS);
    for case in cases() {
        let outcome = world.tables.run(&case.packet, TEST_RUN_INGRESS);
        assert_eq!(outcome, case.outcome, "{}", case.name);
    }
}

#[test]
fn the_kernel_program_does_what_the_cases_say() {
    let Some(object) = relay_tests::privileged::xdp_object() else {
        return;
    };
    let mut kernel = KernelEngine::new(&object, &world(TEST_RUN_INGRESS).tables).unwrap();
    for case in cases() {
        // BPF_PROG_TEST_RUN takes no frame shorter than an Ethernet header.
        if case.packet.len() < 14 {
            continue;
        }
        let outcome = kernel.run(&case.packet).unwrap();
        assert_eq!(outcome, case.outcome, "{}", case.name);
    }
}

fn the_cases_hold_on_the_wire(mode: XdpMode) {
    let Some(object) = relay_tests::privileged::xdp_object() else {
        return;
    };
    let mut wire = WireEngine::new(&object, mode, |card| world(card).tables).unwrap();
    for case in cases() {
        // A packet socket sends no frame shorter than an Ethernet header, and none that the card does not take.
        if !(14..=1514).contains(&case.packet.len()) {
            continue;
        }
        let outcome = wire.run(&case.packet).unwrap();
        assert_eq!(outcome, case.outcome, "{}", case.name);
    }
}

#[test]
fn the_program_on_a_native_card_does_what_the_cases_say() {
    the_cases_hold_on_the_wire(XdpMode::Driver);
}

#[test]
fn the_program_on_a_generic_card_does_what_the_cases_say() {
    the_cases_hold_on_the_wire(XdpMode::Skb);
}
