//! One run: a connector with a stream through it, a link that goes bad and fine again, and what became of the stream.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::case::{Case, Course};
use crate::relay::Follower;
use crate::rough::{Media, Pace, Rough};

/// Until it is on the other leg, or carried again.
const PATIENCE: Duration = Duration::from_secs(30);
/// Until it has returned: the dwell, and what the answers take.
const RETURN: Duration = Duration::from_secs(60);
const SETTLE: Duration = Duration::from_secs(1);

/// What one run showed. Datagrams are counted towards the peer and back.
#[derive(Debug, Clone, Default)]
pub struct Ride {
    /// Until UDP was left for good; of a rebinding, until both directions arrived again. `None`: never.
    pub switched: Option<Duration>,
    /// Of those sent before the weather was fine again.
    pub missing: [usize; 2],
    pub doubled: u32,
    /// From fine weather on. `None`: never, or it was never left.
    pub returned: Option<Duration>,
    /// From fine weather on.
    pub lost_at_return: usize,
    pub doubled_at_return: u32,
    /// Times UDP was left.
    pub switches: u32,
    /// Times UDP was doubted.
    pub doubts: u32,
}

pub fn ride(case: Case, seed: u64, pace: Pace, timing: &[String]) -> Result<Ride> {
    let rough = Rough::open(seed, "", &[])?;
    let timing: Vec<&str> = timing.iter().map(String::as_str).collect();
    let (connector, mut media, _) = rough.connected("UDP_OVER_TCP", pace, &timing);
    // Not always as long after a probe.
    media.run_for(Duration::from_millis(1500 + seed * 137 % 500))?;
    let rider = Rider {
        case,
        rough: &rough,
        connector: &connector,
        start: Instant::now(),
        first: media.next,
        media,
        ride: Ride::default(),
    };
    rider.ride()
}

struct Rider<'r> {
    case: Case,
    rough: &'r Rough,
    connector: &'r Follower,
    /// When the weather changed, and the first datagram after it.
    start: Instant,
    first: u32,
    media: Media,
    ride: Ride,
}

impl Rider<'_> {
    fn ride(mut self) -> Result<Ride> {
        self.case.begin(&self.rough.link);
        match self.case.course() {
            Course::Leave => {
                let left = |ride: &Ride| ride.switched.is_some();
                self.watch(PATIENCE, left)?;
                self.watch(SETTLE, |_| false)?;
            }
            Course::Rebind => self.wait_for_both_ways()?,
            Course::Flap { times, half } => {
                self.watch(half, |_| false)?;
                for _ in 1..times {
                    self.case.end(&self.rough.link);
                    self.watch(half, |_| false)?;
                    self.case.begin(&self.rough.link);
                    self.watch(half, |_| false)?;
                }
            }
            Course::Stay(time) => self.watch(time, |_| false)?,
        }
        self.come_back()
    }

    fn wait_for_both_ways(&mut self) -> Result<()> {
        let first = self.first;
        self.media.run_while(PATIENCE, |media| {
            let ways = [&media.to_peer, &media.to_application];
            Ok(ways.iter().any(|way| way.count_from(first) == 0))
        })?;
        self.ride.switched = Some(self.start.elapsed());
        self.watch(SETTLE, |_| false)
    }

    fn come_back(mut self) -> Result<Ride> {
        let (back, doubled) = (self.media.next, self.media.doubled());
        self.case.end(&self.rough.link);
        let lifted = Instant::now();
        if self.ride.switches > 0 {
            self.ride.returned = None;
            self.watch(RETURN, |ride| ride.returned.is_some())?;
            let at = self.ride.returned.map(|at| self.start + at);
            self.ride.returned = at.map(|at| at.saturating_duration_since(lifted));
        }
        self.watch(SETTLE, |_| false)?;
        self.media.settle()?;
        let [end, after] = [self.media.next, self.media.doubled().iter().sum()];
        self.ride.missing = self.media.missing(self.first, back);
        self.ride.lost_at_return = self.media.missing(back, end).iter().sum();
        self.ride.doubled = doubled.iter().sum();
        self.ride.doubled_at_return = after - self.ride.doubled;
        Ok(self.ride)
    }

    /// Goes on for `time`, or until what the connector says is `enough`.
    fn watch(&mut self, time: Duration, enough: impl Fn(&Ride) -> bool) -> Result<()> {
        let end = Instant::now() + time;
        let (start, ride, connector) = (self.start, &mut self.ride, self.connector);
        let hear = |_: &Media| {
            while let Some(line) = connector.poll::<Value>()? {
                ride.hear(&line, start.elapsed());
            }
            Ok(!enough(ride) && Instant::now() < end)
        };
        self.media.run_while(2 * time + SETTLE, hear)
    }
}

impl Ride {
    fn hear(&mut self, line: &Value, at: Duration) {
        match (line["event"].as_str(), line["to"].as_str()) {
            (Some("transport-degraded"), _) => self.doubts += 1,
            (Some("transport-switched"), Some("tcp")) => {
                self.switches += 1;
                self.switched.get_or_insert(at);
            }
            (Some("transport-switched"), _) => self.returned = Some(at),
            _ => {}
        }
    }
}

impl fmt::Display for Ride {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = |time: Option<Duration>| match time {
            Some(time) => format!("after {} ms", time.as_millis()),
            None => "never".to_owned(),
        };
        let [to_peer, back] = self.missing;
        let (switched, returned) = (time(self.switched), time(self.returned));
        write!(f, "switched {switched}, missing {to_peer} and {back}; ")?;
        write!(f, "returned {returned}, lost {}; ", self.lost_at_return)?;
        let doubled = self.doubled + self.doubled_at_return;
        write!(f, "doubled {doubled}, doubts {}", self.doubts)
    }
}
