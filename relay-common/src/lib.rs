//! What the XDP program and userspace agree on: the shape of the shared tables and the packet arithmetic.
//! No allocation, no I/O, no protocol state.
//!
//! | map | key | value | writer | reader |
//! |---|---|---|---|---|
//! | `PORTS` | family and local port | [`PortEntry`] | userspace | kernel |
//! | `BUCKETS` | hash of a [`Match`] | [`Bucket`] of 8 [`IndexEntry`] | userspace | kernel |
//! | `SESSIONS` | slot | [`Session`] (two [`Leg`]s) | userspace; kernel adds to the counters | both |
//! | `NEXT_HOPS` | index in a leg | [`NextHop`] | userspace | kernel |
//! | `CARDS` | index in a next hop | interface | userspace | kernel |
//! | `COUNTERS` | [`Counter`] | packets, per CPU | kernel | userspace |
//! | `KNOWN` | hash of an address and ports | [`KnownBucket`] of 8 [`Known`] | userspace; kernel keeps the meters | kernel |
//! | `PREFIXES` | hash of a source prefix | [`Meters`] | kernel | kernel |
//! | `TOTALS` | 0 | [`Meters`], per CPU | kernel | kernel |
//! | `RATES` | 0 | [`Rates`] of the shield | userspace | kernel |
//! | `STAMP` | 0 | [`Stamp`] | userspace | the next process |
#![no_std]
#![deny(missing_docs)]

mod abi;
#[macro_use]
mod layout;

mod counter;
mod index;
mod next_hop;
mod port;
mod session;
mod shield;
mod stamp;

pub mod checksum;
pub mod engine;
pub mod wire;

pub use abi::{
    ABI_VERSION, DEFAULT_SESSIONS, MAX_CARDS, MAX_NEXT_HOPS, MAX_SESSIONS, buckets_for, maps,
    programs,
};
pub use counter::Counter;
use index::pair;
pub use index::{BUCKET_WAYS, Bucket, HashKey, IndexEntry, Place};
pub use layout::Pod;
pub use next_hop::{NextHop, VLAN_NONE};
pub use port::{PORT_ENTRIES, PORT_IS_CONTROL, PORT_IS_FLOW, PORT_IS_OPEN, PortEntry, port_index};
pub use session::{Address, Family, Leg, Match, Session};
pub use shield::{
    KNOWN_WAYS, Known, KnownBucket, KnownPlace, METER_BITS, Meter, Meters, OWN_PORT,
    PREFIX_ENTRIES, Rate, Rates, Word, known_buckets_for, meter_time,
};
pub use stamp::Stamp;
