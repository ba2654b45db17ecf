//! Hashing for tables whose keys strangers choose, under a seed of this process. Not SipHash: a packet is looked up seven
//! times, which cost a tenth of it (`bench stream`); tables hold what authenticated clients were granted, within quotas.

use std::hash::BuildHasher;

use foldhash::quality::{FixedState, FoldHasher};

/// Every table built from one seed is deterministic and unpredictable from outside.
#[derive(Clone, Copy)]
pub struct Keyed(u64);

impl Keyed {
    pub fn new(seed: &[u8; 32]) -> Self {
        Self(u64::from_le_bytes(std::array::from_fn(|i| seed[i])))
    }
}

impl std::fmt::Debug for Keyed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Keyed(***)")
    }
}

impl BuildHasher for Keyed {
    type Hasher = FoldHasher<'static>;

    fn build_hasher(&self) -> FoldHasher<'static> {
        FixedState::with_seed(self.0).build_hasher()
    }
}
