//! What a session or a user may send and receive in a second: one bucket of 64 bits for each direction.
//!
//! The arithmetic is the same in the kernel and in userspace (GCRA, ITU-T I.371): a bucket is the time at which all
//! that was let through is paid for. A packet costs the time its bytes take at the rate in bits, or the time one packet
//! takes at the rate in packets, whichever is longer.

/// Parts of a tick (`jiffies64`) in a [`Meter`]'s times: this many bits.
pub const TICK_BITS: u32 = 24;
/// More bits of a byte's time, which is short.
const BYTE_BITS: u32 = 16;
/// [`Meter::due`] of what comes from the side the meter belongs to.
pub const UP: usize = 0;
/// [`Meter::due`] of what goes to it.
pub const DOWN: usize = 1;

/// What may pass, as the time it takes. All zero: everything.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Rate {
    /// Time of one application byte, 2⁻⁴⁰ ticks; 0: bytes are not limited.
    pub per_byte: u64,
    /// Time of one packet, 2⁻²⁴ ticks; 0: packets are not limited.
    pub per_packet: u64,
    /// How far ahead of its rate a sender may be, 2⁻²⁴ ticks.
    pub burst: u64,
}

/// A limit and how much of it is used. One cache line.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C, align(64))]
pub struct Meter {
    /// In each direction.
    pub rate: Rate,
    /// When all that was let through is paid for, 2⁻²⁴ ticks; [`UP`] and [`DOWN`].
    pub due: [u64; 2],
    /// Packets refused, [`UP`] and [`DOWN`].
    pub dropped: [u64; 2],
    /// Zero.
    pub _pad: u64,
}

impl Rate {
    /// A rate in bits and in packets per second (0: not limited) for a clock of `hz` ticks a second; `burst` in ns.
    pub fn new(bits: u64, packets: u64, burst: u64, hz: u64) -> Self {
        let ticks = |hertz: u64, per: u64, bits: u32| match per {
            0 => 0,
            per => (((hertz as u128) << bits) / per as u128).max(1) as u64,
        };
        Self {
            per_byte: ticks(8 * hz, bits, TICK_BITS + BYTE_BITS),
            per_packet: ticks(hz, packets, TICK_BITS),
            burst: (((burst as u128 * hz as u128) << TICK_BITS) / 1_000_000_000) as u64,
        }
    }

    /// What a bucket becomes when a packet of `bytes` is let through at `now`; 0: it is not.
    ///
    /// A packet that is larger than the burst is let through when the bucket has any room, and paid for afterwards.
    #[inline(always)]
    pub fn pay(&self, due: u64, now: u64, bytes: u32) -> u64 {
        let start = if due > now { due } else { now };
        if start > now.wrapping_add(self.burst) {
            return 0;
        }
        let by_bytes = (bytes as u64).wrapping_mul(self.per_byte) >> BYTE_BITS;
        let cost = if by_bytes > self.per_packet {
            by_bytes
        } else {
            self.per_packet
        };
        start.wrapping_add(cost)
    }
}

/// `jiffies` in the unit of [`Meter::due`].
#[inline(always)]
pub const fn meter_time(jiffies: u64) -> u64 {
    jiffies << TICK_BITS
}
