//! What happens to allocations, permissions, channels, sessions and connections, told to whoever listens. Nobody who tells
//! ever waits for one who listens. Documented in `docs/events.md`.

mod event;
mod kind;

mod bus;
mod filter;
mod queue;

pub mod webhook;

pub use bus::{Bus, Gauges, Subscription, TooMany};
pub use event::{Event, Fact, Peer};
pub use filter::{Filter, Pattern};
pub use kind::{Change, Kind, Reason, What};
