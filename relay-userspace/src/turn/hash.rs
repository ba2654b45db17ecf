//! Hashing for tables whose keys strangers choose: SipHash under a key of this process.

use std::collections::hash_map::DefaultHasher;
use std::hash::{BuildHasher, Hasher};

/// The key goes in first, so every table built from one seed is deterministic and unpredictable from outside.
#[derive(Clone, Copy)]
pub struct Keyed(u64, u64);

impl Keyed {
    pub fn new(seed: &[u8; 32]) -> Self {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|i| seed[at + i]));
        Self(word(0), word(8))
    }
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyed(***)")
    }
}

impl BuildHasher for Keyed {
    type Hasher = DefaultHasher;

    fn build_hasher(&self) -> DefaultHasher {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.0);
        hasher.write_u64(self.1);
        hasher
    }
}
