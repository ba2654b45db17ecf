//! The first bytes of a frame, bounds-checked once: one comparison for all headers instead of one each.
//!
//! Headers are read where they are needed and not copied: in BPF a copy that lives across a helper call is spilled,
//! which costs two memory accesses where reading again costs one.

use core::marker::PhantomData;

/// An integer of a header, at any alignment.
pub trait Word: Copy {
    /// # Safety
    /// `from` is valid for reads of the size of `Self`, at any alignment.
    unsafe fn read(from: *const u8) -> Self;
    /// # Safety
    /// `to` is valid for writes of the size of `Self`, at any alignment.
    unsafe fn write(self, to: *mut u8);
}

macro_rules! words {
    ($($t:ty),*) => {$(
        impl Word for $t {
            #[inline(always)]
            unsafe fn read(from: *const u8) -> Self {
                // BPF reads a word at any address where the kernel runs XDP; told of the alignment, LLVM would read
                // byte by byte. Volatile, lest the value is kept on the stack instead of read again.
                #[cfg(target_arch = "bpf")]
                // SAFETY: the caller's.
                return unsafe { from.cast::<$t>().read_volatile() };
                #[cfg(not(target_arch = "bpf"))]
                // SAFETY: the caller's.
                return unsafe { from.cast::<$t>().read_unaligned() };
            }
            #[inline(always)]
            unsafe fn write(self, to: *mut u8) {
                #[cfg(target_arch = "bpf")]
                // SAFETY: the caller's.
                unsafe { *to.cast::<$t>() = self };
                #[cfg(not(target_arch = "bpf"))]
                // SAFETY: the caller's.
                unsafe { to.cast::<$t>().write_unaligned(self) };
            }
        }
    )*};
}
words!(u8, u16, u32, u64);

/// Readable bytes at the start of a frame.
#[derive(Clone, Copy)]
pub struct Head<'f> {
    start: *const u8,
    length: usize,
    frame: PhantomData<&'f [u8]>,
}

/// Writable bytes at the start of a frame.
pub struct HeadMut<'f> {
    start: *mut u8,
    length: usize,
    frame: PhantomData<&'f mut [u8]>,
}

impl Head<'_> {
    /// # Safety
    /// `length` bytes from `start` are readable as long as the frame is borrowed.
    #[inline(always)]
    pub unsafe fn new(start: *const u8, length: usize) -> Self {
        Self {
            start,
            length,
            frame: PhantomData,
        }
    }

    /// The word at `offset`. Both are constants where this is inlined, and so is the assertion.
    #[inline(always)]
    pub fn get<T: Word>(&self, offset: usize) -> T {
        assert!(offset + size_of::<T>() <= self.length);
        // SAFETY: inside, by the assertion and the promise made to `new`.
        unsafe { T::read(self.start.add(offset)) }
    }
}

impl HeadMut<'_> {
    /// # Safety
    /// `length` bytes from `start` are writable, and nobody else's, as long as the frame is borrowed.
    #[inline(always)]
    pub unsafe fn new(start: *mut u8, length: usize) -> Self {
        Self {
            start,
            length,
            frame: PhantomData,
        }
    }

    /// Writes the word at `offset`. Both are constants where this is inlined, and so is the assertion.
    #[inline(always)]
    pub fn put<T: Word>(&mut self, offset: usize, value: T) {
        assert!(offset + size_of::<T>() <= self.length);
        // SAFETY: inside, by the assertion and the promise made to `new`.
        unsafe { value.write(self.start.add(offset)) }
    }
}
