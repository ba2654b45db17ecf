//! Targets that only read and write memory as the relay does for a packet: an entry of an index, then five lines of a
//! slot. What the relay takes beyond them is its own; what they take is the machine's.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::Array;
use aya_ebpf::{bindings::xdp_action, programs::XdpContext};
use core::ptr::{addr_of, addr_of_mut, read_volatile, write_volatile};
use relay_common::engine::Frame;

use crate::frame::XdpFrame;

/// The last four bytes of an IPv4 source address, in which the flows differ.
const SOURCE: usize = 26;
const WORDS_A_LINE: usize = 8;
const LINES: usize = 5;

type Entry = [u64; WORDS_A_LINE];
type Slot = [u64; WORDS_A_LINE * LINES];

// As large as the relay's, and in the same kind of memory. All zero; sized by the bench, as is the mask.
#[map]
static INDEX: Array<Entry> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[unsafe(no_mangle)]
static SLOT_MASK: u32 = 0;
#[unsafe(no_mangle)]
static INDEX_MASK: u32 = 0;

/// The slot waits for the entry: how the relay finds it.
#[xdp]
pub fn one_after_the_other(ctx: XdpContext) -> u32 {
    touch::<true>(&ctx).unwrap_or(xdp_action::XDP_ABORTED)
}

/// Both at once: what a table without an index in between would take.
#[xdp]
pub fn both_at_once(ctx: XdpContext) -> u32 {
    touch::<false>(&ctx).unwrap_or(xdp_action::XDP_ABORTED)
}

#[inline(always)]
fn touch<const DEPENDENT: bool>(ctx: &XdpContext) -> Option<u32> {
    let flow: u32 = XdpFrame::new(ctx).load(SOURCE)?;
    let hash = mixed(u32::from_be(flow));
    // SAFETY: globals of this program; volatile, because the loader writes what the compiler does not see.
    let (slots, entries) = unsafe {
        (
            read_volatile(addr_of!(SLOT_MASK)),
            read_volatile(addr_of!(INDEX_MASK)),
        )
    };
    let entry = INDEX.get_ptr((hash >> 32) as u32 & entries)?;
    // SAFETY: a map value, which outlives the run. Its words are 0.
    let word = unsafe { read_volatile(entry.cast::<u64>()) } as u32;
    let slot = match DEPENDENT {
        true => (hash as u32).wrapping_add(word),
        false => hash as u32,
    };
    let slot = SLOTS.get_ptr_mut(slot & slots)?;
    let mut line = 0;
    while line < LINES {
        // SAFETY: as above, inside the value.
        unsafe {
            let at = addr_of_mut!(*slot).cast::<u64>().add(line * WORDS_A_LINE);
            write_volatile(at, read_volatile(at).wrapping_add(word as u64 | 1));
        }
        line += 1;
    }
    Some(xdp_action::XDP_TX)
}

/// Neighbouring flows far apart.
#[inline(always)]
fn mixed(flow: u32) -> u64 {
    let mut hash = (flow as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^= hash >> 29;
    hash.wrapping_mul(0xbf58_476d_1ce4_e5b9)
}
