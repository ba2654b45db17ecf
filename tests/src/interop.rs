//! Clients that nobody here wrote, run against a relay in the lab: what they need is found by `tools`,
//! where they run is `stage`, how many at a time `share`, what they answer is read by `client`.

pub mod background;
pub mod call;
pub mod client;
pub mod share;
pub mod stage;
pub mod tools;
pub mod uclient;

pub use background::Background;
pub use client::{Before, Path, Transport};
pub use stage::{Host, Stage, inside};
pub use tools::Tools;
