//! The table of packet cases, on the host engine, on the real program in the kernel and on the wire.

use aya::programs::XdpMode;
use relay_common::Counter;
use relay_tests::cases::{cases, closed_port_siege, sieges, world};
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

#[test]
fn the_shield_on_the_host_engine_stops_whom_it_should() {
    for siege in sieges(TEST_RUN_INGRESS) {
        for case in siege.cases {
            let outcome = siege.tables.run(&case.packet, TEST_RUN_INGRESS);
            assert_eq!(outcome, case.outcome, "{}: {}", siege.name, case.name);
        }
    }
}

#[test]
fn the_shield_in_the_kernel_stops_whom_it_should() {
    let Some(object) = relay_tests::privileged::xdp_object() else {
        return;
    };
    for siege in sieges(TEST_RUN_INGRESS) {
        let mut kernel = KernelEngine::new(&object, &siege.tables).unwrap();
        for case in siege.cases {
            let outcome = kernel.run(&case.packet).unwrap();
            assert_eq!(outcome, case.outcome, "{}: {}", siege.name, case.name);
        }
    }
}

#[test]
fn established_sessions_know_no_shield() {
    for siege in sieges(TEST_RUN_INGRESS) {
        for case in cases() {
            let relayed = case.outcome.verdict != relay_common::engine::Verdict::Pass;
            if relayed {
                let outcome = siege.tables.run(&case.packet, TEST_RUN_INGRESS);
                assert_eq!(outcome, case.outcome, "{}: {}", siege.name, case.name);
            }
        }
    }
}

#[test]
fn a_socket_of_the_host_in_the_range_is_not_shielded() {
    let Some(object) = relay_tests::privileged::xdp_object() else {
        return;
    };
    let (mut tables, packets) = closed_port_siege();
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    let socket_v6 = std::net::UdpSocket::bind("[::]:0").unwrap();
    let ports = [&socket, &socket_v6].map(|s| s.local_addr().unwrap().port());
    tables.paces.range = [1, 65_535];
    let mut kernel = KernelEngine::new(&object, &tables).unwrap();
    for (port, packet) in ports.into_iter().zip(&packets) {
        let counters =
            |frame: &[u8], kernel: &mut KernelEngine| kernel.run(frame).unwrap().counters;
        assert_eq!(
            counters(&packet(port), &mut kernel),
            [(Counter::NotOurs, 1)]
        );
        // Port 1: tcpmux, which nobody serves by UDP.
        assert_eq!(
            counters(&packet(1), &mut kernel),
            [(Counter::ShieldClosed, 1)]
        );
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
