//! Sockets and threads: the slow path. Read in this order.

pub mod fragment;
pub mod socket;

pub mod batch;
pub mod outbox;

pub mod stats;

pub mod ports;

pub mod addresses;
