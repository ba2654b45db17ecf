//! A driver's frame as the engine's `Frame`: all packet pointers of the program are here.

use core::ptr::addr_of;

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::generated::{
    bpf_csum_diff, bpf_sk_lookup_udp, bpf_sk_release, bpf_xdp_adjust_head,
};
use aya_ebpf::programs::XdpContext;
use relay_common::{
    Pod,
    engine::{Frame, Head, HeadMut, MOST_SUMMED},
};

/// The frame an XDP program was called for.
pub struct XdpFrame {
    ctx: *mut xdp_md,
}

impl XdpFrame {
    #[inline(always)]
    pub fn new(ctx: &XdpContext) -> Self {
        Self { ctx: ctx.ctx }
    }

    /// Where the frame starts and ends.
    #[inline(always)]
    fn bounds(&self) -> (usize, usize) {
        // Volatile: a value kept from before would be widened to a pointer again, which the verifier takes for a number.
        // SAFETY: the context outlives the program's run; the kernel keeps `data <= data_end`.
        unsafe {
            (
                addr_of!((*self.ctx).data).read_volatile() as usize,
                addr_of!((*self.ctx).data_end).read_volatile() as usize,
            )
        }
    }

    /// Where the frame starts, if it has `length` bytes.
    #[inline(always)]
    fn start_of(&self, length: usize) -> Option<*mut u8> {
        let (start, end) = self.bounds();
        if start + length > end {
            None
        } else {
            Some(start as *mut u8)
        }
    }

    /// Where the value at `offset` is, if all of it is there.
    #[inline(always)]
    pub fn at<T: Pod>(&self, offset: usize) -> Option<*mut T> {
        let (start, end) = self.bounds();
        let first = start + offset;
        if first + size_of::<T>() > end {
            None
        } else {
            Some(first as *mut T)
        }
    }
}

impl Frame for XdpFrame {
    #[inline(always)]
    fn length(&self) -> usize {
        let (start, end) = self.bounds();
        end - start
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: as in `at`.
        unsafe { (*self.ctx).ingress_ifindex }
    }

    #[inline(always)]
    fn head(&self, length: usize) -> Option<Head<'_>> {
        let start = self.start_of(length)?;
        // SAFETY: inside the frame by the check in `start_of`; the borrow ends before the frame is moved.
        Some(unsafe { Head::new(start, length) })
    }

    #[inline(always)]
    fn head_mut(&mut self, length: usize) -> Option<HeadMut<'_>> {
        let start = self.start_of(length)?;
        // SAFETY: as in `head`; nobody else writes a frame while its XDP program runs.
        Some(unsafe { HeadMut::new(start, length) })
    }

    #[inline(always)]
    fn load<T: Pod>(&self, offset: usize) -> Option<T> {
        let pointer = self.at::<T>(offset)?;
        // SAFETY: inside the frame by the check in `at`, and `Pod` takes any bytes. BPF loads a word at any address
        // where the kernel runs XDP (CONFIG_HAVE_EFFICIENT_UNALIGNED_ACCESS); the verifier refuses it elsewhere.
        Some(unsafe { *pointer })
    }

    #[inline(always)]
    fn byte(&self, base: usize, offset: usize) -> Option<u8> {
        // Where the compiler knows a bound it checks a copy and the verifier loses it: hide what is known, then mask.
        // The constant stays apart: the verifier takes a comparison with the end for proof only if there is one.
        const LIMIT: usize = 0x7fff;
        let offset = core::hint::black_box(offset);
        if offset > LIMIT {
            None
        } else {
            self.load(base + (offset & LIMIT))
        }
    }

    #[inline(always)]
    fn sum(&self, offset: usize, length: u16) -> Option<u16> {
        if length > MOST_SUMMED {
            return None;
        }
        let sum = frame_sum(self.ctx, offset as u64, length as u64);
        if sum > 0xffff { None } else { Some(sum as u16) }
    }

    #[inline(always)]
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        let pointer = self.at::<T>(offset)?;
        // SAFETY: as in `load`; nobody else writes a frame while its XDP program runs.
        unsafe { *pointer = value };
        Some(())
    }

    #[inline(always)]
    fn has_socket(&self, is_v6: bool, from: &[u32; 4], to: &[u32; 4], ports: u32) -> bool {
        // A `bpf_sock_tuple`: for IPv4 three words, for IPv6 nine.
        let v4 = [from[0], to[0], ports];
        let v6 = [
            from[0], from[1], from[2], from[3], to[0], to[1], to[2], to[3], ports,
        ];
        let (tuple, size) = if is_v6 {
            (v6.as_ptr(), size_of_val(&v6))
        } else {
            (v4.as_ptr(), size_of_val(&v4))
        };
        const CURRENT_NETNS: u64 = -1i32 as u64;
        // SAFETY: the tuple is as long as said and outlives the call; a socket found is given back at once.
        unsafe {
            let socket = bpf_sk_lookup_udp(
                self.ctx.cast(),
                tuple.cast_mut().cast(),
                size as u32,
                CURRENT_NETNS,
                0,
            );
            if socket.is_null() {
                false
            } else {
                bpf_sk_release(socket.cast());
                true
            }
        }
    }

    #[inline(always)]
    fn move_start(&mut self, delta: i32) -> bool {
        // SAFETY: the context is the one this program was called with; every later access asks `at` again.
        unsafe { bpf_xdp_adjust_head(self.ctx, delta) == 0 }
    }
}

/// [`Frame::sum`], rare and long, so a function of its own: by its name the verifier checks it once, not for every caller.
/// More than 16 bits: there is none.
///
/// What the verifier knows of the position is thrown away in every round, so that all ways to get there are one to it.
#[inline(never)]
#[unsafe(no_mangle)]
pub extern "C" fn frame_sum(ctx: *mut xdp_md, offset: u64, length: u64) -> u64 {
    const NONE: u64 = u64::MAX;
    /// What the helper takes at a time, bytes; a multiple of four.
    const BLOCK: u64 = 64;
    const WORD: u64 = 4;
    const ROUNDS: u64 = MOST_SUMMED as u64 / BLOCK + BLOCK / WORD;
    /// Above `MOST_SUMMED`.
    const MASK: u64 = 0xfff;
    let frame = XdpFrame { ctx };
    let (start, end) = frame.bounds();
    let (first, end) = (start as u64 + (offset & MASK), end as u64);
    let mut left = length;
    let mut sum = 0u32;
    for _ in 0..ROUNDS {
        left = core::hint::black_box(left) & MASK;
        if left < WORD {
            break;
        }
        let from = first + (core::hint::black_box(length - left) & MASK);
        if left >= BLOCK {
            if from + BLOCK > end {
                return NONE;
            }
            sum = add(sum, from as *mut u32, BLOCK as u32);
            left -= BLOCK;
        } else {
            if from + WORD > end {
                return NONE;
            }
            sum = add(sum, from as *mut u32, WORD as u32);
            left -= WORD;
        }
    }
    // What does not fill a word.
    let mut last = 0u64;
    for i in 0..WORD - 1 {
        left = core::hint::black_box(left) & MASK;
        if left == 0 {
            break;
        }
        // From the byte before: a comparison of the very address with the end proves nothing to the verifier.
        let at = core::hint::black_box(length - left) & MASK;
        let before = core::hint::black_box(first - 1 + at);
        if before + 2 > end {
            return NONE;
        }
        // SAFETY: one byte inside the frame, as was just checked.
        last |= (unsafe { ((before + 1) as *const u8).read_volatile() } as u64) << (8 * i);
        left -= 1;
    }
    if left != 0 {
        return NONE;
    }
    relay_common::checksum::fold(sum as u64 + last) as u64
}

/// Adds `length` bytes of the frame to a sum.
#[inline(always)]
fn add(sum: u32, from: *mut u32, length: u32) -> u32 {
    // SAFETY: the caller has checked that the bytes are inside the frame.
    unsafe { bpf_csum_diff(core::ptr::null_mut(), 0, from, length, sum) as u32 }
}
