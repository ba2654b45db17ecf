//! The XDP program: the shared engine of `relay-common`, on a driver's frame and the kernel's tables.
#![no_std]
#![no_main]
// Atomic addition is not in core's stable surface for BPF; see `tables::add`.
#![cfg_attr(
    target_arch = "bpf",
    feature(core_intrinsics),
    expect(internal_features, reason = "atomic_xadd")
)]

mod clock;
mod frame;
mod maps;
mod tables;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use relay_common::engine::{self, Verdict};

use frame::XdpFrame;
use tables::KernelTables;

/// The data path.
#[xdp]
pub fn relay(ctx: XdpContext) -> u32 {
    match engine::run(&mut XdpFrame::new(&ctx), &KernelTables) {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Transmit => xdp_action::XDP_TX,
        Verdict::Redirect(card) => tables::redirect(card),
        Verdict::Drop => xdp_action::XDP_DROP,
    }
}

#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}
