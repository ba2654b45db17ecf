//! Names, sizes and the version both sides must share. The only place these strings exist.

/// Raised with every change of a shared type, map or their meaning.
pub const ABI_VERSION: u32 = 4;

/// Sessions the tables hold when the operator says nothing.
pub const DEFAULT_SESSIONS: u32 = 65_536;
/// Slots an [`IndexEntry`](crate::IndexEntry) can name.
pub const MAX_SESSIONS: u32 = 1 << 23;
/// Distinct layer-2 next hops.
pub const MAX_NEXT_HOPS: u32 = 16_384;
/// Cards one relay can attach to.
pub const MAX_CARDS: u32 = 64;

/// Buckets of the index for `sessions` sessions: a power of two, at most two entries a bucket on average.
///
/// Then one entry in a thousand finds its first bucket of eight full, and one in a million its second as well.
pub const fn buckets_for(sessions: u32) -> u32 {
    if sessions < 64 {
        64
    } else {
        sessions.next_power_of_two()
    }
}

/// Entries of `STREAMS`: both directions of a session; beyond 8 MiB sessions are relayed without RTP statistics.
pub const fn streams_for(sessions: u32) -> u32 {
    if sessions < 16_384 {
        2 * sessions + 1
    } else {
        32_769
    }
}

/// Names of the maps in the BPF object.
pub mod maps {
    /// `PortEntry` by family and local port.
    pub const PORTS: &str = "PORTS";
    /// `Bucket` by hash.
    pub const BUCKETS: &str = "BUCKETS";
    /// `Slot` by its number.
    pub const SESSIONS: &str = "SESSIONS";
    /// `NextHop` by index.
    pub const NEXT_HOPS: &str = "NEXT_HOPS";
    /// `Streams` by the index in a leg.
    pub const STREAMS: &str = "STREAMS";
    /// Interfaces packets can be redirected to.
    pub const CARDS: &str = "CARDS";
    /// `u64` by `Counter`, per CPU.
    pub const COUNTERS: &str = "COUNTERS";
    /// `Stamp` of whoever made the tables.
    pub const STAMP: &str = "STAMP";
    /// `KnownBucket` by hash.
    pub const KNOWN: &str = "KNOWN";
    /// All of the above: what outlives a process when it is pinned.
    pub const PINNED: [&str; 9] = [
        PORTS, BUCKETS, SESSIONS, NEXT_HOPS, STREAMS, CARDS, COUNTERS, STAMP, KNOWN,
    ];
    /// `Allowances` by source prefix: each program begins anew.
    pub const PREFIXES: &str = "PREFIXES";
    /// `Allowances` of all that is unknown, per CPU.
    pub const TOTALS: &str = "TOTALS";
    /// `Paces` of the shield.
    pub const PACES: &str = "PACES";
    /// Read-only global: the `HashKey`.
    pub const HASH_KEY: &str = "HASH_KEY";
    /// Read-only global: number of buckets minus one.
    pub const BUCKET_MASK: &str = "BUCKET_MASK";
    /// Read-only global: number of slots.
    pub const SLOTS: &str = "SLOTS";
    /// Read-only global: number of buckets of `KNOWN` minus one.
    pub const KNOWN_MASK: &str = "KNOWN_MASK";
    /// Read-only global: [`ABI_VERSION`](crate::ABI_VERSION) of the program.
    pub const PROGRAM_ABI: &str = "PROGRAM_ABI";
}

/// Names of the programs in the BPF object.
pub mod programs {
    /// The data path.
    pub const RELAY: &str = "relay";
    /// Writes `jiffies64` (8 bytes) and `CLOCK_MONOTONIC` ns (8 bytes) over the start of its packet; run by
    /// `BPF_PROG_TEST_RUN` to learn how jiffies relate to `Instant`.
    pub const CLOCK: &str = "clock";
}
