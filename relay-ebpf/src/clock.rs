//! Tells userspace what time `jiffies64` is, because only BPF can read it.

use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns};
use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use relay_common::engine::Frame;

use crate::frame::XdpFrame;

/// Run by `BPF_PROG_TEST_RUN` on a buffer, never attached: writes `jiffies64` and monotonic nanoseconds as bytes.
#[xdp]
pub fn clock(ctx: XdpContext) -> u32 {
    // SAFETY: no arguments, no effects.
    let (jiffies, nanoseconds) = unsafe { (bpf_jiffies64(), bpf_ktime_get_ns()) };
    let mut frame = XdpFrame::new(&ctx);
    for (i, byte) in jiffies
        .to_ne_bytes()
        .into_iter()
        .chain(nanoseconds.to_ne_bytes())
        .enumerate()
    {
        if frame.store(i, byte).is_none() {
            return xdp_action::XDP_ABORTED;
        }
    }
    xdp_action::XDP_PASS
}
