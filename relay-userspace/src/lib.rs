//! The relay's control plane and slow path, read from the top like a contents page.

pub mod config;

pub mod admission;
pub mod advertise;
pub mod credentials;
pub mod hook;
pub mod icmp;
pub mod jwt;
pub mod police;
pub mod policy;
pub mod secret;

pub mod events;
pub mod tally;
pub mod turn;

pub mod fastpath;

mod free_list;
pub mod journal;
mod monotonic;

pub mod forward;
pub mod stream;

pub mod check;
pub mod client;
pub mod mode;

mod file_mark;
pub mod https;
mod kept;
pub mod tls;

pub mod web;

pub mod net;
pub mod relay;

pub mod admin;
pub mod api;
pub mod cli;
pub mod doctor;
#[doc(hidden)]
pub mod fuzz;
pub mod metrics;
