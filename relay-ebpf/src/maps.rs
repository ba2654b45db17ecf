//! The maps and read-only globals. Who writes and who reads each is in the table of `relay-common`.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, DevMap, PerCpuArray};
use relay_common::{
    ABI_VERSION, Allowances, Bucket, Counter, DEFAULT_SESSIONS, HashKey, KnownBucket, MAX_CARDS,
    MAX_NEXT_HOPS, NextHop, PORT_ENTRIES, PREFIX_ENTRIES, Paces, PortEntry, Slot, Stamp, Streams,
    buckets_for, known_buckets_for, streams_for,
};

// Mappable, so that userspace changes an entry with one store instead of a system call.
#[map]
pub static PORTS: Array<PortEntry> = Array::with_max_entries(PORT_ENTRIES, BPF_F_MMAPABLE);
#[map]
pub static BUCKETS: Array<Bucket> =
    Array::with_max_entries(buckets_for(DEFAULT_SESSIONS), BPF_F_MMAPABLE);
#[map]
pub static SESSIONS: Array<Slot> = Array::with_max_entries(DEFAULT_SESSIONS, BPF_F_MMAPABLE);
#[map]
pub static NEXT_HOPS: Array<NextHop> = Array::with_max_entries(MAX_NEXT_HOPS, BPF_F_MMAPABLE);
#[map]
pub static STREAMS: Array<Streams> =
    Array::with_max_entries(streams_for(DEFAULT_SESSIONS), BPF_F_MMAPABLE);
#[map]
pub static KNOWN: Array<KnownBucket> =
    Array::with_max_entries(known_buckets_for(DEFAULT_SESSIONS), BPF_F_MMAPABLE);
#[map]
pub static CARDS: DevMap = DevMap::with_max_entries(MAX_CARDS, 0);
#[map]
pub static COUNTERS: PerCpuArray<u64> = PerCpuArray::with_max_entries(Counter::COUNT as u32, 0);

// Not pinned: every program meters anew.
#[map]
pub static PREFIXES: Array<Allowances> = Array::with_max_entries(PREFIX_ENTRIES, 0);
#[map]
pub static TOTALS: PerCpuArray<Allowances> = PerCpuArray::with_max_entries(1, 0);
#[map]
pub static PACES: Array<Paces> = Array::with_max_entries(1, 0);

// Of no use to the program: pinned with the others, it tells the next process what they are.
#[map]
pub static STAMP: Array<Stamp> = Array::with_max_entries(1, 0);

/// Set by the loader.
#[unsafe(no_mangle)]
pub static HASH_KEY: HashKey = HashKey([0; 14]);
/// Set by the loader: buckets minus one.
#[unsafe(no_mangle)]
pub static BUCKET_MASK: u32 = buckets_for(DEFAULT_SESSIONS) - 1;
/// Set by the loader: slots of `SESSIONS`.
#[unsafe(no_mangle)]
pub static SLOTS: u32 = DEFAULT_SESSIONS;
/// Set by the loader: buckets of `KNOWN` minus one.
#[unsafe(no_mangle)]
pub static KNOWN_MASK: u32 = known_buckets_for(DEFAULT_SESSIONS) - 1;
/// Read by the loader.
#[unsafe(no_mangle)]
pub static PROGRAM_ABI: u32 = ABI_VERSION;
