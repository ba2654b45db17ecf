//! The table of packet cases, on the host engine and on the real program in the kernel.

use relay_tests::cases::{cases, world};
use relay_tests::kernel::{KernelEngine, TEST_RUN_INGRESS};

#[test]
fn the_host_engine_does_what_the_cases_say() {
    let world = world();
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
    let mut kernel = KernelEngine::new(&object, &world().tables).unwrap();
    for case in cases() {
        // BPF_PROG_TEST_RUN takes no frame shorter than an Ethernet header.
        if case.packet.len() < 14 {
            continue;
        }
        let outcome = kernel.run(&case.packet).unwrap();
        assert_eq!(outcome, case.outcome, "{}", case.name);
    }
}
