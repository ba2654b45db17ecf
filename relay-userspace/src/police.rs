//! Limits of sessions and users: who has which, and whether a packet that userspace relays is within them.
//! The kernel spends the same buckets (`relay_common::Meter`), so a packet counts wherever it goes.

mod budget;
mod clock;
mod level;
mod limit;
mod metered;
mod registry;
mod table;

pub use clock::MeterClock;
pub use limit::{Limit, Limits};
pub use metered::{Metered, Pass};
pub use registry::{Change, Police, UserMeter};
pub use table::{MeterTable, Words, meter_words};

pub use relay_common::{DOWN, UP};

#[cfg(test)]
mod tests;
