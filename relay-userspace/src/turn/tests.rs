//! The state machine under virtual time, told by what it orders. Each file tests one request or one property.

mod harness;
mod told;

mod accounts;
mod advertise;
mod allocate;
mod auth;
mod behavior;
mod channel;
mod data;
mod drain;
mod dual;
mod families;
mod flood;
mod icmp;
mod mobility;
mod nonsense;
mod permission;
mod properties;
mod refresh;
mod restore;
mod sha256;
mod tcp;
mod vectors;
