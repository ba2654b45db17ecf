//! A driver's frame as the engine's `Frame`: all packet pointers of the program are here.

use aya_ebpf::{bindings::xdp_md, helpers::generated::bpf_xdp_adjust_head, programs::XdpContext};
use relay_common::{Pod, engine::Frame};

/// The frame an XDP program was called for.
pub struct XdpFrame {
    ctx: *mut xdp_md,
}

impl XdpFrame {
    #[inline(always)]
    pub fn new(ctx: &XdpContext) -> Self {
        Self { ctx: ctx.ctx }
    }

    #[inline(always)]
    pub fn at<T: Pod>(&self, offset: usize) -> Option<*mut T> {
        // SAFETY: the context outlives the program's run; the kernel keeps `data <= data_end`.
        let (start, end) = unsafe { ((*self.ctx).data as usize, (*self.ctx).data_end as usize) };
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
        // SAFETY: as in `at`.
        unsafe { ((*self.ctx).data_end - (*self.ctx).data) as usize }
    }

    #[inline(always)]
    fn ingress(&self) -> u32 {
        // SAFETY: as in `at`.
        unsafe { (*self.ctx).ingress_ifindex }
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
    fn store<T: Pod>(&mut self, offset: usize, value: T) -> Option<()> {
        let pointer = self.at::<T>(offset)?;
        // SAFETY: as in `load`; nobody else writes a frame while its XDP program runs.
        unsafe { *pointer = value };
        Some(())
    }

    #[inline(always)]
    fn move_start(&mut self, delta: i32) -> bool {
        // SAFETY: the context is the one this program was called with; every later access asks `at` again.
        unsafe { bpf_xdp_adjust_head(self.ctx, delta) == 0 }
    }
}
