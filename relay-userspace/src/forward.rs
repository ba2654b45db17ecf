//! Forwards: a public UDP port to one destination, a session per client. Read in this order; sockets are in `net`.

pub mod destination;
pub mod rate;
pub mod saved;
pub mod shared;
pub mod table;
