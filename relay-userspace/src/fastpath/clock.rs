//! From `Instant` to `jiffies64`, the clock of the kernel's deadlines. Always early, never late.

use std::time::{Duration, Instant};

/// What `jiffies64` counts from on 64-bit kernels: `INITIAL_JIFFIES` makes the low half wrap 300 s after boot.
/// <https://elixir.bootlin.com/linux/v6.12/source/include/linux/jiffies.h#L230>
const fn initial_jiffies(hz: u64) -> u64 {
    (1 << 32) - 300 * hz
}

/// Every `CONFIG_HZ` there is on the architectures XDP runs on.
const RATES: [u64; 5] = [100, 250, 300, 1000, 1024];

/// Both clocks, read together by the program `clock`.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub jiffies: u64,
    /// `CLOCK_MONOTONIC`, ns.
    pub monotonic: u64,
    /// Taken right after both.
    pub after: Instant,
}

/// Relates the two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    hz: u64,
    sample: Sample,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("cannot relate jiffies to time")]
pub struct Unrelated;

impl Clock {
    /// From two samples, the second somewhat later.
    pub fn learn(first: Sample, second: Sample) -> Result<Self, Unrelated> {
        let hz = rate(&first)?;
        let elapsed = second.monotonic.saturating_sub(first.monotonic);
        let expected = ticks(Duration::from_nanos(elapsed), hz);
        let counted = second.jiffies.checked_sub(first.jiffies).ok_or(Unrelated)?;
        if counted.abs_diff(expected) > 3 || rate(&second)? != hz {
            return Err(Unrelated);
        }
        Ok(Self { hz, sample: second })
    }

    /// From one sample, for a clock that was learned from two before: follows what drift there is.
    pub fn from_sample(sample: Sample) -> Result<Self, Unrelated> {
        Ok(Self {
            hz: rate(&sample)?,
            sample,
        })
    }

    /// Jiffies a second.
    pub fn hz(&self) -> u64 {
        self.hz
    }

    /// `jiffies64`, and when it was read.
    pub fn seen(&self) -> (u64, Instant) {
        (self.sample.jiffies, self.sample.after)
    }

    /// The tick before `at`; in the past for an `at` in the past.
    pub fn deadline(&self, at: Instant) -> u64 {
        match at.checked_duration_since(self.sample.after) {
            Some(ahead) => self.sample.jiffies + ticks(ahead, self.hz),
            None => {
                let ago = self.sample.after.duration_since(at);
                self.sample.jiffies.saturating_sub(ticks(ago, self.hz) + 1)
            }
        }
    }
}

fn ticks(duration: Duration, hz: u64) -> u64 {
    u64::try_from(duration.as_nanos() * u128::from(hz) / 1_000_000_000).unwrap_or(u64::MAX / 2)
}

/// The `CONFIG_HZ` with which ticks since boot fit the time since boot best, if it fits to 2 % or a second.
fn rate(sample: &Sample) -> Result<u64, Unrelated> {
    let error = |hz: u64| {
        let since_boot = sample.jiffies.checked_sub(initial_jiffies(hz))?;
        let time = u128::from(since_boot) * 1_000_000_000 / u128::from(hz);
        Some(time.abs_diff(u128::from(sample.monotonic)))
    };
    let (best, hz) = RATES
        .into_iter()
        .filter_map(|hz| Some((error(hz)?, hz)))
        .min()
        .ok_or(Unrelated)?;
    if best < u128::from(sample.monotonic) / 50 + 1_000_000_000 {
        Ok(hz)
    } else {
        Err(Unrelated)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(hz: u64, monotonic: u64, after: Instant) -> Sample {
        let ticks = (u128::from(monotonic) * u128::from(hz) / 1_000_000_000) as u64;
        Sample {
            jiffies: initial_jiffies(hz) + ticks,
            monotonic,
            after,
        }
    }

    proptest! {
        #[test]
        fn every_rate_is_recognised_and_deadlines_are_early_by_two_ticks_at_most(
            rate in prop::sample::select(RATES.to_vec()),
            uptime in 100_000_000_000u64..100_000_000_000_000_000,
            ahead in 0u64..10_000_000_000_000,
        ) {
            let now = Instant::now();
            let later = now + Duration::from_millis(10);
            let clock = Clock::learn(sample(rate, uptime, now), sample(rate, uptime + 10_000_000, later)).unwrap();
            prop_assert_eq!(clock.hz, rate);
            let exact = sample(rate, uptime + 10_000_000 + ahead, later).jiffies;
            let deadline = clock.deadline(later + Duration::from_nanos(ahead));
            prop_assert!(deadline <= exact && exact - deadline <= 2);
        }
    }

    impl Clock {
        /// A clock of 1000 ticks a second that is at `jiffies` now.
        pub fn at(jiffies: u64, now: Instant) -> Self {
            let sample = Sample {
                jiffies,
                monotonic: 0,
                after: now,
            };
            Self { hz: 1000, sample }
        }
    }

    #[test]
    fn a_deadline_in_the_past_is_in_the_past() {
        let now = Instant::now();
        let second = sample(250, 3_600_000_000_000, now);
        let clock = Clock::learn(sample(250, 3_599_000_000_000, now), second).unwrap();
        assert!(clock.deadline(now - Duration::from_millis(1)) < second.jiffies);
    }

    #[test]
    fn jiffies_that_do_not_advance_are_not_a_clock() {
        let now = Instant::now();
        let first = sample(1000, 3_600_000_000_000, now);
        let stuck = Sample {
            monotonic: first.monotonic + 500_000_000,
            ..first
        };
        assert!(Clock::learn(first, stuck).is_err());
        assert!(
            Clock::learn(
                Sample {
                    jiffies: 5,
                    ..first
                },
                first
            )
            .is_err()
        );
    }
}
