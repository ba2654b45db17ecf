//! A receiver as cheap as can be: counts what arrives, with the sums a bench checks, and drops it.

use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use relay_common::engine::Frame;

use crate::frame::XdpFrame;

/// Packets, bytes.
#[map]
static RECEIVED: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

/// Counts IP packets and drops them; passes the rest, so that ARP and neighbour discovery work.
#[xdp]
pub fn sink(ctx: XdpContext) -> u32 {
    let frame = XdpFrame::new(&ctx);
    match frame.load::<relay_common::wire::Ethernet>(0) {
        Some(e) if e.ethertype == relay_common::wire::ETHERTYPE_IPV4 => {}
        _ => return xdp_action::XDP_PASS,
    }
    if let (Some(packets), Some(bytes)) = (RECEIVED.get_ptr_mut(0), RECEIVED.get_ptr_mut(1)) {
        // SAFETY: this CPU's values, and an XDP program is not preempted by another on its CPU.
        unsafe {
            *packets += 1;
            *bytes += frame.len() as u64;
        }
    }
    xdp_action::XDP_DROP
}
