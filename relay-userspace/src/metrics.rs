//! `GET /metrics` for Prometheus, `/live` and `/ready` for a supervisor, on loopback. Counts nothing itself: it shows what the relay counted.

mod exposition;
pub mod registry;
mod server;

pub use server::{Readiness, bind, router, serve};

#[cfg(test)]
mod tests;
