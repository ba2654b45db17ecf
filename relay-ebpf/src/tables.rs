//! The kernel's maps as the engine's `Tables`, and the helpers it needs.

use core::ptr::{addr_of, read_volatile};

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_redirect_map};
use relay_common::engine::Tables;
use relay_common::{Bucket, Counter, Leg, NextHop, PortEntry, Session};

use crate::maps::{BUCKET_MASK, BUCKETS, CARDS, COUNTERS, HASH_KEY, NEXT_HOPS, PORTS, SESSIONS};

/// Zero-sized: the maps are globals.
pub struct KernelTables;

impl Tables for KernelTables {
    #[inline(always)]
    fn port(&self, index: u32) -> Option<&PortEntry> {
        PORTS.get(index)
    }
    #[inline(always)]
    fn bucket(&self, index: u32) -> Option<&Bucket> {
        BUCKETS.get(index)
    }
    #[inline(always)]
    fn session(&self, slot: u32) -> Option<&Session> {
        SESSIONS.get(slot)
    }
    #[inline(always)]
    fn next_hop(&self, index: u32) -> Option<&NextHop> {
        NEXT_HOPS.get(index)
    }
    #[inline(always)]
    fn hash_word(&self, i: usize) -> u32 {
        // SAFETY: a global of this program, `i` a constant below its length. Volatile, because the loader writes
        // the value the compiler does not see.
        unsafe { read_volatile(addr_of!(HASH_KEY.0).cast::<u32>().add(i)) }
    }
    #[inline(always)]
    fn bucket_mask(&self) -> u32 {
        // SAFETY: a global of this program. Volatile as above.
        unsafe { read_volatile(addr_of!(BUCKET_MASK)) }
    }
    #[inline(always)]
    fn jiffies(&self) -> u64 {
        // SAFETY: no arguments, no effects.
        unsafe { bpf_jiffies64() }
    }
    #[inline(always)]
    fn charge(&self, leg: &Leg, bytes: u64) {
        // SAFETY: both fields lie in a map value and are only ever changed by atomic additions, from any CPU.
        unsafe {
            add(addr_of!(leg.packets).cast_mut(), 1);
            add(addr_of!(leg.bytes).cast_mut(), bytes);
        }
    }
    #[inline(always)]
    fn count(&self, reason: Counter) {
        if let Some(counter) = COUNTERS.get_ptr_mut(reason as u32) {
            // SAFETY: this CPU's copy, and an XDP program is not preempted by another on its CPU.
            unsafe { *counter += 1 };
        }
    }
}

/// Sends the frame out of a card of `CARDS`.
#[inline(always)]
pub fn redirect(card: u32) -> u32 {
    // The frame is rewritten by now: if the card is gone it must be dropped, not handed to the host.
    // SAFETY: a DEVMAP of this program.
    unsafe {
        bpf_redirect_map(
            addr_of!(CARDS).cast_mut().cast(),
            card as u64,
            xdp_action::XDP_DROP as u64,
        ) as u32
    }
}

/// Atomic addition whose result nobody wants: one `lock add`.
///
/// # Safety
/// `to` is valid, aligned and only ever changed atomically.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn add(to: *mut u64, value: u64) {
    use core::intrinsics::{AtomicOrdering, atomic_xadd};
    // `AtomicU64::fetch_add` does not exist on a target without compare-and-swap.
    // SAFETY: the caller's.
    unsafe { atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(to, value) };
}

/// The same for `cargo check` on the host, where no program of this crate runs.
///
/// # Safety
/// As above.
#[cfg(not(target_arch = "bpf"))]
unsafe fn add(to: *mut u64, value: u64) {
    use core::sync::atomic::{AtomicU64, Ordering};
    // SAFETY: the caller's.
    unsafe { AtomicU64::from_ptr(to).fetch_add(value, Ordering::Relaxed) };
}
