//! ICMP about datagrams of ours: read from the sockets' error queues, and written for clients that have no other way
//! to be told. Decides nothing.

pub mod queue;
pub mod raw;
