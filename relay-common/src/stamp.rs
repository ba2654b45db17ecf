//! What pinned tables say about themselves to the next process.

use crate::HashKey;

/// The only entry of `STAMP`; written once, when every table is pinned.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(C)]
pub struct Stamp {
    /// [`ABI_VERSION`](crate::ABI_VERSION) of who made the tables; 0 while they are not complete.
    pub abi: u32,
    /// Zero.
    pub _pad: u32,
    /// The key by which `BUCKETS` is filled.
    pub key: HashKey,
}
