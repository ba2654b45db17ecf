//! The kernel's array maps mapped into this process. The only `unsafe` of the fast path.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use memmap2::{MmapOptions, MmapRaw};
use relay_common::{NextHop, Pod, Session, Streams};

use super::memory::{
    BUCKET_WORDS, Memory, NEXT_HOP_WORDS, PORT_WORDS, SESSION_WORDS, STREAMS_WORDS,
};
use crate::police::{MeterTable, Words};

/// One mapped array, as words.
pub struct MappedWords {
    map: MmapRaw,
    words: usize,
}

impl MappedWords {
    /// Maps the first `words` words of the array map behind `fd`, which has `BPF_F_MMAPABLE`.
    pub fn new(fd: &impl AsRawFd, words: usize) -> io::Result<Self> {
        let map = MmapOptions::new().len(words * 8).map_raw(fd.as_raw_fd())?;
        Ok(Self { map, words })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: the mapping is page aligned, readable and writable, at least `words` words long (asked for in
        // `new`, and the kernel refuses to map past a map's end), and lives as long as `self`. It is shared with the
        // kernel: the kernel loads and stores whole aligned words, and this process reaches it only through these
        // atomics, so no access tears.
        unsafe { std::slice::from_raw_parts(self.map.as_ptr().cast::<AtomicU64>(), self.words) }
    }
}

/// The tables userspace fills or reads.
pub struct SharedMemory {
    pub ports: MappedWords,
    pub buckets: MappedWords,
    pub sessions: MappedWords,
    pub next_hops: MappedWords,
    pub known: MappedWords,
    pub streams: MappedWords,
    /// The same `SESSIONS`, for the meters in it.
    pub meters: Arc<MeterTable>,
}

impl Words for MappedWords {
    fn words(&self) -> &[AtomicU64] {
        MappedWords::words(self)
    }
}

impl Memory for SharedMemory {
    fn ports(&self) -> &[AtomicU64] {
        self.ports.words()
    }
    fn buckets(&self) -> &[AtomicU64] {
        self.buckets.words()
    }
    fn sessions(&self) -> &[AtomicU64] {
        self.sessions.words()
    }
    fn next_hops(&self) -> &[AtomicU64] {
        self.next_hops.words()
    }
    fn streams(&self) -> &[AtomicU64] {
        self.streams.words()
    }
    fn hold_meters(&self, used: &[u32]) {
        self.meters.hold(used);
    }
    fn settle_meters(&self) {
        self.meters.settle();
    }
    fn known(&self) -> &[AtomicU64] {
        self.known.words()
    }
}

/// A session as it lies in its table.
pub fn session_words(session: &Session) -> [u64; SESSION_WORDS] {
    as_words(session)
}

/// The session that lies in its table as `words`.
pub fn session_of(words: &[u64; SESSION_WORDS]) -> Session {
    const { assert!(size_of::<Session>() == SESSION_WORDS * 8) };
    // SAFETY: `Session` is `Pod`, so any bytes are valid, and has exactly the size of the array.
    unsafe { std::mem::transmute_copy(words) }
}

/// The streams that lie in their table as `words`.
pub fn streams_of(words: &[u64; STREAMS_WORDS]) -> Streams {
    const { assert!(size_of::<Streams>() == STREAMS_WORDS * 8) };
    // SAFETY: `Streams` is `Pod`, so any bytes are valid, and has exactly the size of the array.
    unsafe { std::mem::transmute_copy(words) }
}

/// A next hop as it lies in its table.
pub fn next_hop_words(next_hop: &NextHop) -> [u64; NEXT_HOP_WORDS] {
    as_words(next_hop)
}

const _: () = assert!(size_of::<relay_common::PortEntry>() == PORT_WORDS * 8);
const _: () = assert!(size_of::<relay_common::Bucket>() == BUCKET_WORDS * 8);

fn as_words<T: Pod, const N: usize>(value: &T) -> [u64; N] {
    const { assert!(size_of::<T>() == N * 8) };
    // SAFETY: `T` is `Pod`, so all of its bytes are initialised, and has exactly the size of the array, in which any
    // bytes are valid.
    unsafe { std::mem::transmute_copy(value) }
}

/// Waits until every program run that began before this call has ended. False if the kernel cannot be asked.
pub fn wait_for_readers() -> bool {
    // Waits for an RCU grace period, and XDP programs run inside an RCU read-side section:
    // https://man7.org/linux/man-pages/man2/membarrier.2.html
    // SAFETY: no pointers; the call has no effect but to wait.
    unsafe { libc::syscall(libc::SYS_membarrier, libc::MEMBARRIER_CMD_GLOBAL, 0, 0) == 0 }
}
