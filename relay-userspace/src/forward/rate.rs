//! How many sessions a source may open: a token bucket per prefix, in bounded memory. Time comes from the caller.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

/// New sessions a second from one prefix (v4 /24, v6 /48) to one forward on one worker: many real clients behind one
/// address translator start in a second, yet a spoofer cannot empty the port pool from one network.
pub const PER_SECOND: f64 = 50.0;
/// New sessions at once.
pub const BURST: f64 = 100.0;
/// Prefixes remembered. Beyond it all new ones share one bucket.
const PREFIXES: usize = 4096;

#[derive(Debug, Default)]
pub struct SourceRate {
    buckets: HashMap<IpAddr, Bucket>,
    overflow: Option<Bucket>,
    /// When full buckets were last forgotten: at most once a second, or a flood would make every packet a scan.
    forgotten: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn full(now: Instant) -> Bucket {
        Bucket {
            tokens: BURST,
            at: now,
        }
    }

    fn tokens(&self, now: Instant) -> f64 {
        let grown = now.saturating_duration_since(self.at).as_secs_f64() * PER_SECOND;
        (self.tokens + grown).min(BURST)
    }

    fn take(&mut self, now: Instant) -> bool {
        self.tokens = self.tokens(now);
        self.at = now;
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }
}

impl SourceRate {
    /// Whether `source` may open one more session now.
    pub fn take(&mut self, now: Instant, source: IpAddr) -> bool {
        let prefix = prefix(source);
        let crowded = self.buckets.len() >= PREFIXES && !self.buckets.contains_key(&prefix);
        if crowded
            && self
                .forgotten
                .is_none_or(|at| now >= at + Duration::from_secs(1))
        {
            self.forgotten = Some(now);
            self.buckets.retain(|_, bucket| bucket.tokens(now) < BURST);
        }
        if self.buckets.len() >= PREFIXES && !self.buckets.contains_key(&prefix) {
            return self.overflow.get_or_insert(Bucket::full(now)).take(now);
        }
        self.buckets
            .entry(prefix)
            .or_insert(Bucket::full(now))
            .take(now)
    }
}

fn prefix(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & !0xff).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !(u128::MAX >> 48)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_prefix_has_a_burst_and_then_its_rate() {
        let (mut rate, now) = (SourceRate::default(), Instant::now());
        let granted = (0..1000)
            .filter(|n| rate.take(now, ip(&format!("192.0.2.{}", n % 256))))
            .count();
        assert_eq!(granted as f64, BURST);
        let later = now + Duration::from_secs(1);
        let granted = (0..1000)
            .filter(|_| rate.take(later, ip("192.0.2.1")))
            .count();
        assert_eq!(granted as f64, PER_SECOND);
    }

    #[test]
    fn another_prefix_is_not_affected() {
        let (mut rate, now) = (SourceRate::default(), Instant::now());
        while rate.take(now, ip("2001:db8:1::1")) {}
        assert!(!rate.take(now, ip("2001:db8:1:ffff::1")));
        assert!(rate.take(now, ip("2001:db8:2::1")));
        assert!(rate.take(now, ip("192.0.2.1")));
    }

    #[test]
    fn a_bucket_that_is_full_again_is_forgotten_when_room_is_needed() {
        let (mut rate, now) = (SourceRate::default(), Instant::now());
        (0..PREFIXES as u32)
            .for_each(|n| assert!(rate.take(now, Ipv4Addr::from_bits(n << 8).into())));
        assert!(rate.take(now + Duration::from_secs(5), ip("2001:db8::1")));
        assert_eq!(rate.buckets.len(), 1);
    }

    #[test]
    fn memory_is_bounded_and_a_flood_of_prefixes_shares_one_bucket() {
        let (mut rate, now) = (SourceRate::default(), Instant::now());
        let granted = (0..100_000u32)
            .filter(|n| rate.take(now, Ipv4Addr::from_bits(n << 8).into()))
            .count();
        assert_eq!(rate.buckets.len(), PREFIXES);
        assert_eq!(granted, PREFIXES + BURST as usize);
    }
}
