//! A client of this relay, or of any TURN server: what applications and the lab share.
//!
//! [`session::Session`] is the whole of it: an allocation that stays while its client goes from UDP to TLS and back as
//! [`crate::mode`] says. Below it everything is bytes in and bytes out.

pub mod request;
pub mod words;

pub mod secure;
pub mod turn;
pub mod udp;

pub mod session;
pub mod tunnel;

pub mod ice;
