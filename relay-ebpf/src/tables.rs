//! The kernel's maps as the engine's `Tables`, and the helpers it needs.

use core::ptr::{addr_of, read_volatile, write_volatile};

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_redirect_map};
use relay_common::engine::Tables;
use relay_common::{Bucket, Counter, KnownBucket, Leg, Meters, NextHop, PortEntry, Rates, Session};

use crate::maps::{
    BUCKET_MASK, BUCKETS, CARDS, COUNTERS, HASH_KEY, KNOWN, KNOWN_MASK, NEXT_HOPS, PORTS, PREFIXES,
    RATES, SESSIONS, TOTALS,
};

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
        // Not atomic: a locked addition waits for the packet's own cache lines and costs 40 ns on a live card. All
        // packets of a leg have one 5-tuple, which a card's RSS gives to one queue and so to one CPU; should it move
        // them, the CPUs may lose an addition to each other. Userspace writes these words only before the leg is live.
        // SAFETY: both fields lie in a map value that outlives the run; volatile, because userspace reads them.
        unsafe {
            add(addr_of!(leg.packets).cast_mut(), 1);
            add(addr_of!(leg.bytes).cast_mut(), bytes);
        }
    }
    #[inline(always)]
    fn rates(&self) -> Option<&Rates> {
        RATES.get(0)
    }
    #[inline(always)]
    fn known(&self, bucket: u32) -> Option<&KnownBucket> {
        KNOWN.get(bucket)
    }
    #[inline(always)]
    fn known_mask(&self) -> u32 {
        // SAFETY: a global of this program. Volatile as above.
        unsafe { read_volatile(addr_of!(KNOWN_MASK)) }
    }
    #[inline(always)]
    fn prefix(&self, index: u32) -> Option<&Meters> {
        PREFIXES.get(index)
    }
    #[inline(always)]
    fn total(&self) -> Option<&Meters> {
        TOTALS.get(0)
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

/// # Safety
/// `to` is valid and aligned.
#[inline(always)]
unsafe fn add(to: *mut u64, value: u64) {
    // SAFETY: the caller's.
    unsafe { write_volatile(to, read_volatile(to).wrapping_add(value)) };
}
