//! The clock of the buckets: `jiffies64` as it would be read between two ticks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use relay_common::{TICK_BITS, meter_time};

/// Follows the kernel's ticks, or counts its own where there is no kernel path.
#[derive(Debug)]
pub struct MeterClock {
    hz: u64,
    origin: Instant,
    /// The time at `origin`.
    start: AtomicU64,
}

impl MeterClock {
    /// That was at `jiffies` at the moment `at`.
    pub fn new(hz: u64, jiffies: u64, at: Instant) -> Self {
        Self {
            hz,
            origin: at,
            start: AtomicU64::new(meter_time(jiffies)),
        }
    }

    /// Nobody else's: a thousand ticks a second.
    pub fn own() -> Self {
        Self::new(1000, 1 << 32, Instant::now())
    }

    /// Was seen again: what drift there was is gone.
    pub fn set(&self, jiffies: u64, at: Instant) {
        let since = self.span(at.saturating_duration_since(self.origin));
        self.start
            .store(meter_time(jiffies).wrapping_sub(since), Relaxed);
    }

    pub fn hz(&self) -> u64 {
        self.hz
    }

    pub fn at(&self, now: Instant) -> u64 {
        let since = self.span(now.saturating_duration_since(self.origin));
        self.start.load(Relaxed).wrapping_add(since)
    }

    /// The time so many units of it take, no less.
    pub fn time(&self, units: u64) -> Duration {
        let nanos = ((u128::from(units) * 1_000_000_000) >> TICK_BITS) / u128::from(self.hz);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX).saturating_add(1))
    }

    pub(super) fn span(&self, time: Duration) -> u64 {
        (((time.as_nanos() * u128::from(self.hz)) << TICK_BITS) / 1_000_000_000) as u64
    }
}
