//! XDP programs of the lab: the other end of a veth pair, a bare reflector, a receiver that counts, and the harness
//! that times the relay on ever new packets. Never part of the `relay` command.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

mod frame;
#[path = "lab/harness.rs"]
mod harness;
#[path = "lab/reads.rs"]
mod reads;
#[path = "lab/sink.rs"]
mod sink;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use relay_common::engine::Frame;
use relay_common::wire::Ethernet;

use frame::XdpFrame;

/// Does nothing. veth delivers what the other end transmits only if this end has a program as well.
#[xdp]
pub fn pass(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_PASS
}

/// Sends every packet back where it came from: the least a relay can do.
#[xdp]
pub fn reflect(ctx: XdpContext) -> u32 {
    let mut frame = XdpFrame::new(&ctx);
    let Some(ethernet) = frame.load::<Ethernet>(0) else {
        return xdp_action::XDP_PASS;
    };
    let swapped = Ethernet {
        destination: ethernet.source,
        source: ethernet.destination,
        ..ethernet
    };
    match frame.store(0, swapped) {
        Some(()) => xdp_action::XDP_TX,
        None => xdp_action::XDP_PASS,
    }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {}
}

#[cfg(not(target_arch = "bpf"))]
fn main() {}
