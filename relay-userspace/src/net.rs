//! Sockets and threads: the slow path. Read in this order.

pub mod thread;
pub mod worker;

pub mod receive;

pub mod driver;
pub mod forwarding;

pub mod control;
pub mod views;

pub mod addresses;
pub mod ports;
pub mod shared;
pub mod stats;
pub mod totals;

pub mod batch;
mod entropy;
pub mod fragment;
pub mod icmp;
pub mod marks;
pub mod message;
pub mod outbox;
pub mod readable;
pub mod route_groups;
pub mod socket;

pub mod stream;
