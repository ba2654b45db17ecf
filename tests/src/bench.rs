//! Measurements: figures as ratios and nanoseconds, printed as JSON, never asserted on a clock.

pub mod control;
pub mod flood;
pub mod latency;
pub mod machine;
pub mod packet;
pub mod pair;
pub mod process;
pub mod relay;
pub mod report;
pub mod running;
pub mod signaling;
pub mod stream;
pub mod survive;
pub mod switch;
pub mod veth;
