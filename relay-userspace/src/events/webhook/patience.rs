//! How long to wait before the next attempt, and when not to try again: twice as long each time, and never all at once.

use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(30);
/// About two minutes: longer than a server takes to restart.
const ATTEMPTS: u32 = 10;

#[derive(Debug, Default)]
pub struct Patience {
    failed: u32,
}

impl Patience {
    /// After one more failed attempt. `None`: that was the last one.
    pub fn pause(&mut self) -> Option<Duration> {
        self.failed += 1;
        if self.failed >= ATTEMPTS {
            return None;
        }
        let longest = (FIRST * 2u32.pow(self.failed - 1)).min(LONGEST);
        // Half of it is chance: many relays do not come back at one moment.
        let part = random() as f64 / u64::MAX as f64;
        Some(longest.mul_f64(0.5 + part / 2.0))
    }
}

pub fn random() -> u64 {
    // Without randomness nothing is lost but the spread.
    getrandom::u64().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_are_spread_and_end() {
        let mut patience = Patience::default();
        let pauses: Vec<_> = std::iter::from_fn(|| patience.pause()).collect();
        assert_eq!(pauses.len(), ATTEMPTS as usize - 1);
        for (index, pause) in pauses.iter().enumerate() {
            let longest = (FIRST * 2u32.pow(index as u32)).min(LONGEST);
            assert!(*pause >= longest / 2 && *pause <= longest, "{pauses:?}");
        }
        let all: Duration = pauses.iter().sum();
        assert!(
            all > Duration::from_secs(45) && all < Duration::from_secs(150),
            "{all:?}"
        );
        let first: std::collections::BTreeSet<_> = (0..20)
            .filter_map(|_| Patience::default().pause())
            .collect();
        assert!(first.len() > 10, "{first:?}");
    }
}
