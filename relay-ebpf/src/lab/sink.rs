//! A receiver as cheap as can be: counts what arrives, with the sums a bench checks, and drops it.

use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::PerCpuArray;
use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use relay_common::engine::Frame;
use relay_common::wire::{ETHERNET_LEN, ETHERTYPE_IPV4, Ethernet, Ipv4, Udp};

use crate::frame::XdpFrame;

/// Packets, bytes.
#[map]
static RECEIVED: PerCpuArray<u64> = PerCpuArray::with_max_entries(2, 0);

/// Counts UDP packets to the discard port and drops them; passes the rest, control traffic of a bench included.
#[xdp]
pub fn sink(ctx: XdpContext) -> u32 {
    let frame = XdpFrame::new(&ctx);
    let ipv4 = matches!(frame.load::<Ethernet>(0), Some(e) if e.ethertype == ETHERTYPE_IPV4);
    match frame.load::<Udp>(ETHERNET_LEN + size_of::<Ipv4>()) {
        Some(udp) if ipv4 && udp.destination == DISCARD => {}
        _ => return xdp_action::XDP_PASS,
    }
    if let (Some(packets), Some(bytes)) = (RECEIVED.get_ptr_mut(0), RECEIVED.get_ptr_mut(1)) {
        // SAFETY: this CPU's values, and an XDP program is not preempted by another on its CPU.
        unsafe {
            *packets += 1;
            *bytes += core::hint::black_box(frame.length()) as u64;
        }
    }
    xdp_action::XDP_DROP
}

/// UDP port 9.
const DISCARD: u16 = 9u16.to_be();
