//! The kernel's maps as the engine's `Tables`, and the helpers it needs.

use core::ptr::{addr_of, addr_of_mut, read_volatile, write_volatile};

use aya_ebpf::bindings::xdp_action;
use aya_ebpf::helpers::generated::{bpf_jiffies64, bpf_ktime_get_ns, bpf_redirect_map};
use relay_common::engine::{Tables, police};
use relay_common::{
    Allowances, Bucket, Counter, KnownBucket, Leg, Meter, NextHop, Paces, PortEntry, RtpHeader,
    Session, Slot, meter_place,
};

use crate::maps::{
    BUCKET_MASK, BUCKETS, CARDS, COUNTERS, HASH_KEY, KNOWN, KNOWN_MASK, NEXT_HOPS, PACES, PORTS,
    PREFIXES, SESSIONS, SLOTS, STREAMS, TOTALS,
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
    fn fetch(&self, slot: u32) {
        if let Some(slot) = SESSIONS.get_ptr(slot) {
            let mut line = 0;
            while line < LINES {
                // SAFETY: a word of a map value. Volatile, as nobody uses what is read.
                unsafe { read_volatile(slot.cast::<u64>().add(line * WORDS_A_LINE)) };
                line += 1;
            }
        }
    }
    #[inline(always)]
    fn session(&self, slot: u32) -> Option<&Session> {
        SESSIONS.get(slot).map(|slot| &slot.session)
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
    fn slots(&self) -> u32 {
        // SAFETY: a global of this program. Volatile as above.
        unsafe { read_volatile(addr_of!(SLOTS)) }
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
    fn admits(&self, arrival: [u32; 2], departure: [u32; 2], now: u64, bytes: u32) -> bool {
        admits(both(arrival), both(departure), now, bytes) != 0
    }
    #[inline(always)]
    fn refuse(&self, session: &Session, leg: usize) {
        // SAFETY: as in `charge`; stays at its last value instead of starting again from 0.
        unsafe {
            let count = addr_of!(session.refused).cast::<u32>().add(leg).cast_mut();
            write_volatile(count, read_volatile(count).saturating_add(1));
        }
    }
    #[inline(always)]
    fn see(&self, streams: u32, header: &RtpHeader, bytes: u32, tick: u32) {
        let first = (header.sequence as u32) << 16 | header.payload_type as u32;
        let rest = (header.timestamp as u64) << 32 | header.ssrc as u64;
        see(streams, first, rest, bytes, tick);
    }
    #[inline(always)]
    fn paces(&self) -> Option<&Paces> {
        PACES.get(0)
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
    fn prefix(&self, index: u32) -> Option<&Allowances> {
        PREFIXES.get(index)
    }
    #[inline(always)]
    fn total(&self) -> Option<&Allowances> {
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

/// Words of a cache line.
const WORDS_A_LINE: usize = 8;
/// Cache lines of a slot.
const LINES: usize = size_of::<Slot>() / (8 * WORDS_A_LINE);
/// Tries to pay before a packet of a user whose packets several CPUs carry passes unpaid.
const TRIES: u32 = 4;

#[inline(always)]
fn both([first, second]: [u32; 2]) -> u64 {
    first as u64 | (second as u64) << 32
}

/// A function of its own, as it would be inlined eight times; so are words its arguments.
#[inline(never)]
fn admits(arrival: u64, departure: u64, now: u64, bytes: u32) -> u32 {
    let apart = |meters: u64| [meters as u32, (meters >> 32) as u32];
    police::admits(
        apart(arrival),
        apart(departure),
        |meter, direction, shared| pays(meter, direction, shared, now, bytes),
    ) as u32
}

#[inline(always)]
fn pays(meter: u32, direction: usize, shared: bool, now: u64, bytes: u32) -> bool {
    let (slot, place) = meter_place(meter);
    let Some(slot) = SESSIONS.get_ptr_mut(slot) else {
        return true;
    };
    // SAFETY: a map value, which outlives the run; userspace stores whole words of its rate.
    let (rate, due, dropped) = unsafe {
        let meter = addr_of_mut!((*slot).meters)
            .cast::<Meter>()
            .add(place as usize);
        (
            &(*meter).rate,
            addr_of_mut!((*meter).due).cast::<u64>().add(direction),
            addr_of_mut!((*meter).dropped).cast::<u64>().add(direction),
        )
    };
    let mut tries = 0;
    while tries < TRIES {
        // SAFETY: as above.
        let before = unsafe { read_volatile(due) };
        let after = rate.pay(before, now, bytes);
        if after == 0 {
            // SAFETY: as above. Two CPUs may lose a count to each other.
            unsafe { add(dropped, 1) };
            return false;
        }
        // All packets of a session's direction come by one CPU: no need for the 10 ns of an exchange.
        if !shared {
            // SAFETY: as above.
            unsafe { write_volatile(due, after) };
            return true;
        }
        // SAFETY: as above.
        if unsafe { exchange(due, before, after) } {
            return true;
        }
        tries += 1;
    }
    true
}

#[inline(never)]
fn see(streams: u32, first: u32, rest: u64, bytes: u32, tick: u32) {
    let Some(streams) = STREAMS.get_ptr_mut(streams) else {
        return;
    };
    let header = RtpHeader {
        sequence: (first >> 16) as u16,
        payload_type: first as u16,
        timestamp: (rest >> 32) as u32,
        ssrc: rest as u32,
    };
    // SAFETY: a map value, which outlives the run. All packets of a leg come by one CPU, as in `charge`; userspace
    // reads what it finds.
    let streams = unsafe { &mut *streams };
    // SAFETY: no arguments, no effects.
    streams.see(&header, bytes, tick, || unsafe { bpf_ktime_get_ns() });
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

/// Puts `new` where `old` is; false: something else is there by now.
///
/// # Safety
/// `at` is valid and aligned.
#[cfg(target_arch = "bpf")]
#[inline(always)]
unsafe fn exchange(at: *mut u64, old: u64, new: u64) -> bool {
    use core::intrinsics::{AtomicOrdering::Relaxed, atomic_cxchg};
    // SAFETY: the caller's.
    unsafe { atomic_cxchg::<u64, { Relaxed }, { Relaxed }>(at, old, new).1 }
}

/// # Safety
/// As above.
#[cfg(not(target_arch = "bpf"))]
#[inline(always)]
unsafe fn exchange(at: *mut u64, old: u64, new: u64) -> bool {
    use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
    // SAFETY: the caller's.
    let at = unsafe { AtomicU64::from_ptr(at) };
    at.compare_exchange(old, new, Relaxed, Relaxed).is_ok()
}

/// # Safety
/// `to` is valid and aligned.
#[inline(always)]
unsafe fn add(to: *mut u64, value: u64) {
    // SAFETY: the caller's.
    unsafe { write_volatile(to, read_volatile(to).wrapping_add(value)) };
}
