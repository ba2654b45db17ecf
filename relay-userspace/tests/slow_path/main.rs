//! The slow path on real loopback sockets: unprivileged, no fixed ports, no kernel program.

mod client;
mod endpoint;
mod setup;

mod certificates;
mod forward_refusals;
mod forwards;
mod hook;
mod mobility;
mod session;
mod stranger;
mod stream;
mod tcp_allocations;
mod trust;
mod turn;
mod web;
