//! How fast packets go and when the last one went, from totals seen now and then. Reads no clock and takes no lock.

use std::time::{Duration, Instant};

use crate::api::Traffic;

/// Rates are averages over at least this long.
const WINDOW: Duration = Duration::from_millis(900);

/// The traffic of one direction.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Tally {
    pub total: Traffic,
    /// When the window began, and the total then.
    window: Option<(Instant, Traffic)>,
    rate: TrafficRate,
    seen: Option<Instant>,
}

/// Over the last whole window.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct TrafficRate {
    pub packets_per_second: f64,
    pub bits_per_second: f64,
}

/// What a tally shows.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Reading {
    pub rate: TrafficRate,
    /// When traffic was last noticed.
    pub seen: Option<Instant>,
}

impl Tally {
    /// One packet more.
    pub fn count(&mut self, now: Instant, bytes: usize) {
        let bytes = bytes as u64;
        self.add(now, Traffic { packets: 1, bytes });
    }

    /// So many more, one at least.
    pub fn add(&mut self, now: Instant, more: Traffic) {
        self.window.get_or_insert((now, self.total));
        self.total.packets += more.packets;
        self.total.bytes += more.bytes;
        self.seen = Some(now);
        self.roll(now);
    }

    /// The total somebody else counts.
    pub fn observe(&mut self, now: Instant, total: Traffic) {
        if total.packets != self.total.packets {
            self.seen = Some(now);
        }
        self.total = total;
        self.roll(now);
    }

    pub fn read(&self, now: Instant) -> Reading {
        let mut tally = *self;
        tally.roll(now);
        Reading {
            rate: tally.rate,
            seen: tally.seen,
        }
    }

    fn roll(&mut self, now: Instant) {
        let (began, then) = *self.window.get_or_insert((now, self.total));
        let passed = now.saturating_duration_since(began);
        if passed < WINDOW {
            return;
        }
        let a_second = |now: u64, then: u64| now.saturating_sub(then) as f64 / passed.as_secs_f64();
        self.rate = TrafficRate {
            packets_per_second: a_second(self.total.packets, then.packets),
            bits_per_second: 8.0 * a_second(self.total.bytes, then.bytes),
        };
        self.window = Some((now, self.total));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_over_the_last_window_and_falls_to_zero_when_packets_stop() {
        let start = Instant::now();
        let at = |ms: u64| start + Duration::from_millis(ms);
        let mut tally = Tally::default();
        for i in 0..=200 {
            tally.count(at(10 * i), 125);
        }
        let reading = tally.read(at(2000));
        assert!(
            (99.0..=102.0).contains(&reading.rate.packets_per_second),
            "{reading:?}"
        );
        assert!(
            (99_000.0..=102_000.0).contains(&reading.rate.bits_per_second),
            "{reading:?}"
        );
        assert_eq!(tally.read(at(60_000)).seen, Some(at(2000)));
        assert!(tally.read(at(60_000)).rate.packets_per_second < 4.0);
        assert_eq!(tally.total.packets, 201);
    }

    #[test]
    fn totals_of_others_make_the_same_rate() {
        let start = Instant::now();
        let at = |s: u64| start + Duration::from_secs(s);
        let total = |packets| Traffic {
            packets,
            bytes: packets * 100,
        };
        let mut tally = Tally::default();
        tally.observe(at(0), total(0));
        assert_eq!(tally.read(at(0)), Reading::default());
        tally.observe(at(10), total(1000));
        assert_eq!(tally.read(at(10)).rate.packets_per_second, 100.0);
        tally.observe(at(20), total(1000));
        let reading = tally.read(at(20));
        assert_eq!(
            (reading.rate.packets_per_second, reading.seen),
            (0.0, Some(at(10)))
        );
    }
}
