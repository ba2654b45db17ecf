//! Runs of a case as one row. Measures nothing.

use std::fmt::Write;
use std::time::Duration;

use serde::Serialize;

use super::case::Case;
use super::ride::Ride;

/// Milliseconds and datagrams; a time is of the runs in which it happened.
#[derive(Debug, Serialize)]
pub struct Row {
    pub case: Case,
    pub runs: usize,
    /// Runs in which UDP was left, or the allocation followed the NAT.
    pub switched: usize,
    pub switch_ms: Option<Spread>,
    /// Both directions of each run, worse one.
    pub missing_ms: Spread,
    pub missing_to_peer: Spread,
    pub missing_to_application: Spread,
    /// Of all runs.
    pub doubled: u32,
    pub returned: usize,
    /// From fine weather on, of which the dwell is a part.
    pub return_ms: Option<Spread>,
    pub lost_at_return: usize,
    pub doubled_at_return: u32,
    /// Of all runs.
    pub switches: u32,
    pub doubts: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

impl Spread {
    pub fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let max = *values.last()?;
        let at = |share: f64| values[((values.len() - 1) as f64 * share).ceil() as usize];
        Some(Self {
            p50: at(0.5),
            p95: at(0.95),
            max,
        })
    }
}

impl Row {
    pub fn new<'r>(case: Case, rides: impl Iterator<Item = &'r Ride>, period: Duration) -> Self {
        let rides: Vec<&Ride> = rides.collect();
        let times = |of: fn(&Ride) -> Option<Duration>| {
            let times = rides.iter().filter_map(|ride| of(ride));
            Spread::of(times.map(|time| time.as_secs_f64() * 1e3))
        };
        let counts = |of: fn(&Ride) -> usize| {
            let none = Spread {
                p50: 0.0,
                p95: 0.0,
                max: 0.0,
            };
            Spread::of(rides.iter().map(|ride| of(ride) as f64)).unwrap_or(none)
        };
        let sum = |of: fn(&Ride) -> u32| rides.iter().map(|ride| of(ride)).sum();
        let worse = counts(|ride| ride.missing[0].max(ride.missing[1]));
        let ms = |packets: f64| packets * period.as_secs_f64() * 1e3;
        Self {
            case,
            runs: rides.len(),
            switched: rides.iter().filter(|ride| ride.switched.is_some()).count(),
            switch_ms: times(|ride| ride.switched),
            missing_ms: Spread {
                p50: ms(worse.p50),
                p95: ms(worse.p95),
                max: ms(worse.max),
            },
            missing_to_peer: counts(|ride| ride.missing[0]),
            missing_to_application: counts(|ride| ride.missing[1]),
            doubled: sum(|ride| ride.doubled),
            returned: rides.iter().filter(|ride| ride.returned.is_some()).count(),
            return_ms: times(|ride| ride.returned),
            lost_at_return: rides.iter().map(|ride| ride.lost_at_return).sum(),
            doubled_at_return: sum(|ride| ride.doubled_at_return),
            switches: sum(|ride| ride.switches),
            doubts: sum(|ride| ride.doubts),
        }
    }
}

/// For people.
pub fn table(rows: &[Row]) -> String {
    let mut text = "case        runs  switch ms p50/p95/max  missing ms p50/p95/max  doubled  return ms p50/p95/max  lost  doubled\n".to_owned();
    for row in rows {
        let _ = writeln!(
            text,
            "{:<11} {:>2}/{:<2} {:>22}  {:>22}  {:>7}  {:>21}  {:>4}  {:>7}",
            row.case,
            row.switched,
            row.runs,
            spread(row.switch_ms),
            spread(Some(row.missing_ms)),
            row.doubled,
            spread(row.return_ms),
            row.lost_at_return,
            row.doubled_at_return
        );
    }
    text
}

fn spread(spread: Option<Spread>) -> String {
    match spread {
        Some(Spread { p50, p95, max }) => format!("{p50:.0}/{p95:.0}/{max:.0}"),
        None => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_the_middle_what_one_of_twenty_exceeds_and_the_worst() {
        let spread = Spread::of((1..=21).rev().map(f64::from)).unwrap();
        let expected = Spread {
            p50: 11.0,
            p95: 20.0,
            max: 21.0,
        };
        assert_eq!(spread, expected);
        assert_eq!(Spread::of([7.0].into_iter()).unwrap().p95, 7.0);
        assert_eq!(Spread::of(std::iter::empty()), None);
    }
}
