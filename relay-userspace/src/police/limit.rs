//! What an operator says of limits. Data only.

use std::collections::HashMap;
use std::time::Duration;

use relay_common::Rate;
use serde::{Deserialize, Serialize};

/// What may pass in a second, in each direction. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Application bits.
    pub bits_per_second: Option<u64>,
    pub packets_per_second: Option<u64>,
}

/// Every limit there is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Limits {
    pub session: Limit,
    /// Of all sessions of a user together.
    pub user: Limit,
    /// Of users that have one of their own.
    pub users: HashMap<String, Limit>,
    /// Of all users together, and of those of a group of shared secrets: shared out fairly.
    pub total: Limit,
    pub groups: HashMap<String, Limit>,
    /// How far ahead of its rate a sender may be.
    pub burst: Duration,
}

impl Limit {
    pub const NONE: Limit = Limit {
        bits_per_second: None,
        packets_per_second: None,
    };
    /// Below it the largest datagram would take longer than [`Limits::burst`] can ever be.
    pub const FEWEST_BITS: u64 = 8_000;

    /// The stricter of both.
    pub(super) fn least(self, other: Limit) -> Limit {
        let least = |a: Option<u64>, b: Option<u64>| match (a, b) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Limit {
            bits_per_second: least(self.bits_per_second, other.bits_per_second),
            packets_per_second: least(self.packets_per_second, other.packets_per_second),
        }
    }

    /// As a clock of `hz` ticks a second counts it.
    pub(super) fn rate(self, burst: Duration, hz: u64) -> Rate {
        let (bits, packets) = (self.bits_per_second, self.packets_per_second);
        let burst = u64::try_from(burst.as_nanos()).unwrap_or(u64::MAX);
        Rate::new(bits.unwrap_or(0), packets.unwrap_or(0), burst, hz)
    }
}

impl Limits {
    /// Whether users have to share anything.
    pub(super) fn is_shared(&self) -> bool {
        self.total != Limit::NONE || !self.groups.is_empty()
    }
}
