//! TURN over a byte stream (RFC 8656 §12.5) without the stream: where messages begin and end, what waits to leave, who
//! speaks first. Bytes and `now` in, bytes out; no socket.

pub mod frame;

pub mod queue;

pub mod flight;

pub mod opening;
pub mod proxied;
