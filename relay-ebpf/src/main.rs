//! The XDP program: the shared engine of `relay-common`, on a driver's frame and the kernel's tables.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// The target says it has no compare-and-exchange; the kernel has had it since 5.12, and `core::sync::atomic` hides it.
#![cfg_attr(
    target_arch = "bpf",
    feature(core_intrinsics),
    allow(internal_features, reason = "see above")
)]
#![cfg_attr(
    not(target_arch = "bpf"),
    expect(dead_code, reason = "on the host this crate is checked, never run")
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
#[inline(always)]
pub fn relay(ctx: XdpContext) -> u32 {
    match engine::run(&mut XdpFrame::new(&ctx), &KernelTables) {
        Verdict::Pass => xdp_action::XDP_PASS,
        Verdict::Transmit => xdp_action::XDP_TX,
        Verdict::Redirect(card) => tables::redirect(card),
        Verdict::Drop => xdp_action::XDP_DROP,
    }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
