//! What the XDP program and userspace agree on: the shape of the shared tables and the packet arithmetic.
//! No allocation, no I/O, no protocol state.
//!
//! | map | key | value | writer | reader |
//! |---|---|---|---|---|
//! | `PORTS` | family and local port | [`PortEntry`] | userspace | kernel |
//! | `BUCKETS` | hash of a [`Match`] | [`Bucket`] of 8 [`IndexEntry`] | userspace | kernel |
//! | `SESSIONS` | slot | [`Slot`]: a [`Session`] (two [`Leg`]s), two [`Meter`]s | userspace; kernel adds to the counters; both spend | both |
//! | `NEXT_HOPS` | index in a leg | [`NextHop`] | userspace | kernel |
//! | `STREAMS` | index in a leg | [`Streams`] | kernel; userspace clears | both |
//! | `CARDS` | index in a next hop | interface | userspace | kernel |
//! | `COUNTERS` | [`Counter`] | packets, per CPU | kernel | userspace |
//! | `KNOWN` | hash of an address and ports | [`KnownBucket`] of 8 [`Known`] | userspace; kernel keeps the meters | kernel |
//! | `PREFIXES` | hash of a source prefix | [`Allowances`] | kernel | kernel |
//! | `TOTALS` | 0 | [`Allowances`], per CPU | kernel | kernel |
//! | `PACES` | 0 | [`Paces`] of the shield | userspace | kernel |
//! | `STAMP` | 0 | [`Stamp`] | userspace | the next process |
#![no_std]
#![deny(missing_docs)]

mod abi;
#[macro_use]
mod layout;

mod counter;
mod index;
mod meter;
mod next_hop;
mod port;
mod session;
mod shield;
mod stamp;
mod stream;

pub mod checksum;
pub mod engine;
pub mod wire;

pub use abi::{
    ABI_VERSION, DEFAULT_SESSIONS, MAX_CARDS, MAX_NEXT_HOPS, MAX_SESSIONS, buckets_for, maps,
    programs, streams_for,
};
pub use counter::Counter;
use index::pair;
pub use index::{BUCKET_WAYS, Bucket, HashKey, IndexEntry, Place};
pub use layout::Pod;
pub use meter::{DOWN, Meter, Rate, TICK_BITS, UP, meter_time};
pub use next_hop::{NextHop, VLAN_NONE};
pub use port::{PORT_ENTRIES, PORT_IS_CONTROL, PORT_IS_FLOW, PORT_IS_OPEN, PortEntry, port_index};
pub use session::{Address, Family, Leg, Match, Session, Slot, beside, meter_index, meter_place};
pub use shield::{
    Allowance, Allowances, KNOWN_WAYS, Known, KnownBucket, KnownPlace, OWN_PORT, PACE_BITS,
    PREFIX_ENTRIES, Pace, Paces, Word, known_buckets_for, shield_time,
};
pub use stamp::Stamp;
pub use stream::{RtpHeader, STREAMS, Stream, Streams};
