//! How many unauthenticated requests of one source prefix are answered, or wrong passwords heard: a fixed array of token buckets, so that no
//! attacker can make it grow. Prefixes that share a bucket share its rate.

use std::hash::{BuildHasher, Hash};
use std::net::IpAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::super::hash::Keyed;

/// 512 KiB for all workers together.
const BUCKETS: usize = 1 << 16;

/// Generic cell rate algorithm: a bucket is one number, the time (ns) at which it would be empty again.
#[derive(Debug)]
pub struct Flood {
    buckets: Box<[AtomicU64]>,
    hash: Keyed,
    epoch: OnceLock<Instant>,
    nanos_per_answer: u64,
    /// One second's worth may come at once.
    burst_nanos: u64,
}

impl Flood {
    /// A table for as many sources as there may be.
    pub fn new(per_second: u32, seed: [u8; 32]) -> Self {
        Self::sized(per_second, BUCKETS, seed)
    }

    /// One rate for all sources.
    pub fn of_all(per_second: u32, seed: [u8; 32]) -> Self {
        Self::sized(per_second, 1, seed)
    }

    fn sized(per_second: u32, buckets: usize, seed: [u8; 32]) -> Self {
        let nanos_per_answer = 1_000_000_000 / u64::from(per_second.max(1));
        Self {
            buckets: (0..buckets).map(|_| AtomicU64::new(0)).collect(),
            hash: Keyed::new(&seed),
            epoch: OnceLock::new(),
            nanos_per_answer,
            burst_nanos: if per_second == 0 { 0 } else { 1_000_000_000 },
        }
    }

    /// `source`: who shares a rate.
    pub fn admit(&self, source: impl Hash, now: Instant) -> bool {
        let now = self.nanos(now);
        self.bucket(source)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full_until| {
                self.next(full_until, now)
            })
            .is_ok()
    }

    /// Whether `admit` would, without taking anything.
    pub fn would_admit(&self, source: impl Hash, now: Instant) -> bool {
        let full_until = self.bucket(source).load(Ordering::Relaxed);
        self.next(full_until, self.nanos(now)).is_some()
    }

    fn next(&self, full_until: u64, now: u64) -> Option<u64> {
        let next = full_until.max(now) + self.nanos_per_answer;
        (next <= now + self.burst_nanos).then_some(next)
    }

    fn nanos(&self, now: Instant) -> u64 {
        let epoch = *self.epoch.get_or_init(|| now);
        now.saturating_duration_since(epoch).as_nanos() as u64
    }

    fn bucket(&self, source: impl Hash) -> &AtomicU64 {
        &self.buckets[self.hash.hash_one(source) as usize % self.buckets.len()]
    }
}

/// /24 of IPv4, /48 of IPv6: what one site can spoof or own cheaply.
pub fn prefix(source: IpAddr) -> u64 {
    match source.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits() >> 8),
        IpAddr::V6(v6) => (v6.to_bits() >> 80) as u64 | 1 << 63,
    }
}

/// One address of IPv4, a /64 of IPv6: what one host has.
pub fn host(source: IpAddr) -> u64 {
    match source.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64 | 1 << 63,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn admitted(flood: &Flood, source: &str, now: Instant, asked: usize) -> usize {
        let source = prefix(source.parse().unwrap());
        (0..asked).filter(|_| flood.admit(source, now)).count()
    }

    #[test]
    fn a_prefix_gets_its_rate_and_no_more() {
        let flood = Flood::new(50, [7; 32]);
        let start = Instant::now();
        assert_eq!(admitted(&flood, "192.0.2.1", start, 1000), 50);
        assert_eq!(admitted(&flood, "192.0.2.200", start, 10), 0);
        assert_eq!(admitted(&flood, "192.0.3.1", start, 10), 10);
        assert_eq!(
            admitted(&flood, "192.0.2.1", start + Duration::from_millis(100), 100),
            5
        );
    }

    #[test]
    fn one_site_of_ipv6_is_one_prefix() {
        let flood = Flood::new(10, [7; 32]);
        let start = Instant::now();
        assert_eq!(admitted(&flood, "2001:db8:1:2::1", start, 100), 10);
        assert_eq!(admitted(&flood, "2001:db8:1:ffff::9", start, 100), 0);
        assert_eq!(admitted(&flood, "2001:db8:2::1", start, 100), 10);
    }

    #[test]
    fn a_rate_of_zero_answers_nobody() {
        assert_eq!(
            admitted(&Flood::new(0, [7; 32]), "192.0.2.1", Instant::now(), 10),
            0
        );
    }
}
