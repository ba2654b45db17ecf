//! Delays in buckets of about 2 % width: constant memory however long the lab runs.

/// Buckets of one octave.
const STEPS: u64 = 32;
const OCTAVES: u64 = 40;

/// Counts of nanoseconds.
#[derive(Debug, Clone)]
pub struct Histogram {
    buckets: Vec<u64>,
    count: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            buckets: vec![0; (STEPS * OCTAVES) as usize],
            count: 0,
        }
    }
}

impl Histogram {
    pub fn add(&mut self, nanoseconds: u64) {
        let index = bucket(nanoseconds).min(self.buckets.len() - 1);
        self.buckets[index] += 1;
        self.count += 1;
    }

    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
    }

    /// The delay in microseconds that a share of `quantile` (0 to 1) does not exceed; 0 if nothing was counted.
    pub fn microseconds(&self, quantile: f64) -> f64 {
        let rank = ((self.count as f64 * quantile).ceil() as u64).max(1);
        let mut seen = 0;
        let reached = self.buckets.iter().position(|&bucket| {
            seen += bucket;
            seen >= rank
        });
        reached.map_or(0.0, |index| {
            (upper_bound(index as u64) as f64 / 100.0).round() / 10.0
        })
    }
}

fn bucket(nanoseconds: u64) -> usize {
    if nanoseconds < STEPS {
        return nanoseconds as usize;
    }
    let octave = u64::from(nanoseconds.ilog2() - STEPS.ilog2());
    ((octave + 1) * STEPS + (nanoseconds >> octave) - STEPS) as usize
}

fn upper_bound(index: u64) -> u64 {
    match (index / STEPS).checked_sub(1) {
        None => index,
        Some(octave) => ((STEPS + index % STEPS + 1) << octave) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_delay_is_below_its_buckets_bound_and_near_it() {
        for nanoseconds in (0..10_000_000).step_by(977) {
            let bound = upper_bound(bucket(nanoseconds) as u64);
            assert!(
                bound >= nanoseconds && bound <= nanoseconds + nanoseconds / STEPS + 1,
                "{nanoseconds} in {bound}"
            );
        }
    }

    #[test]
    fn quantiles_of_a_known_set() {
        let mut histogram = Histogram::default();
        (1..=1000u64).for_each(|n| histogram.add(n * 1000));
        assert!((490.0..520.0).contains(&histogram.microseconds(0.5)));
        assert!((985.0..1030.0).contains(&histogram.microseconds(0.99)));
    }

    #[test]
    fn nothing_counted_is_zero() {
        assert_eq!(Histogram::default().microseconds(0.99), 0.0);
    }
}
