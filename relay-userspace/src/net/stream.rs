//! TURN clients on TCP and TLS. A connection is a task of the worker whose listener accepted it; nothing of it is shared.

pub mod listen;

pub mod gate;
pub mod serve;

mod bytes;
pub mod connection;
pub mod inbox;
pub mod joined;
pub(crate) mod kernel;

mod prefixed;
