//! Proof that every shared type has one layout on both sides. The only `unsafe impl` of the shared types.

use core::mem::{align_of, offset_of, size_of};

use crate::{
    Address, Allowances, Bucket, HashKey, KnownBucket, Leg, Match, Meter, NextHop, Paces,
    PortEntry, Rate, Session, Slot, Stamp, Streams,
};

/// Plain bytes: fixed-width integers and arrays, no padding, every bit pattern valid.
///
/// # Safety
/// The implementor has no padding and accepts any bytes.
pub unsafe trait Pod: Copy + 'static {}

macro_rules! integers {
    ($($t:ty),*) => {$(
        // SAFETY: an integer.
        unsafe impl Pod for $t {}
    )*};
}
integers!(u8, u16, u32, u64);

macro_rules! pod {
    ($($t:ty => $size:literal),* $(,)?) => {$(
        const _: () = assert!(size_of::<$t>() == $size, stringify!($t));
        // SAFETY: integers and arrays only; the size asserted here is the sum of the fields, so there is no padding.
        unsafe impl Pod for $t {}
        #[cfg(feature = "user")]
        // SAFETY: as above.
        unsafe impl aya::Pod for $t {}
    )*};
}

/// Marks the packet headers, whose layout `wire.rs` asserts against `network-types`.
macro_rules! wire_pod {
    ($($t:ty),* $(,)?) => {$(
        // SAFETY: integers and arrays only; `wire.rs` asserts the size, which is the sum of the fields.
        unsafe impl crate::Pod for $t {}
    )*};
}

#[cfg(target_arch = "bpf")]
// SAFETY: an aligned access of 32 bits is one instruction, and whoever reads takes any value.
unsafe impl Sync for crate::shield::Word {}

impl Match {
    /// Ports, channel and family in one word.
    #[inline(always)]
    pub fn ends(&self) -> u64 {
        const { assert!(offset_of!(Match, remote_port) % 8 == 0 && align_of::<Match>() == 8) };
        let start = core::ptr::from_ref(self).cast::<u8>();
        // SAFETY: the last eight bytes of `self`, plain and aligned by the assertion.
        unsafe {
            start
                .add(offset_of!(Match, remote_port))
                .cast::<u64>()
                .read()
        }
    }
}

impl Address {
    /// Both halves, as they lie in memory.
    #[inline(always)]
    pub fn halves(&self) -> &[u64; 2] {
        const { assert!(align_of::<Address>() == 8) };
        // SAFETY: as many plain bytes, aligned by the assertion.
        unsafe { &*core::ptr::from_ref(self).cast() }
    }
}

pod! {
    PortEntry => 16,
    Bucket => 64,
    Match => 40,
    Leg => 88,
    Session => 192,
    Slot => 320,
    NextHop => 32,
    HashKey => 56,
    Stamp => 64,
    Rate => 24,
    Meter => 64,
    Streams => 256,
    Paces => 64,
}

const _: () = assert!(size_of::<KnownBucket>() == 64 && size_of::<Allowances>() == 16);
const _: () = assert!(align_of::<Session>() == 8);
const _: () = assert!(align_of::<Slot>() == 64 && offset_of!(Slot, meters) == 192);
const _: () = assert!(offset_of!(Session, legs) == 16);
const _: () = assert!(offset_of!(Session, refused) == 8);
const _: () = assert!(offset_of!(Leg, streams) == 52);
const _: () = assert!(offset_of!(Leg, deadline) == 56);
const _: () = assert!(offset_of!(Leg, packets) == 64);
const _: () = assert!(offset_of!(Leg, bytes) == 72);
const _: () = assert!(offset_of!(Leg, meters) == 80);
const _: () = assert!(offset_of!(Meter, due) == 24);
