//! How much of a connection's data may be in the kernel's hands: what is there can neither be dropped nor overtaken, so
//! it is to drain in a share of the age data may reach, at the pace the link takes it. Numbers in, a size out.

use std::time::{Duration, Instant};

/// Before anything is known, and the least a link is given that is not slow: about what TCP begins with as well.
pub const INITIAL: usize = 12 << 10;
/// Four segments: with fewer, what goes on depends on acknowledgements that are held back for 40 ms.
const SMALLEST: usize = 6 << 10;
/// What a client that stops reading pins, twice over: the kernel doubles it. 100 Mbit/s over a round trip of 80 ms.
const LARGEST: usize = 1 << 20;
/// What a burst alone may make of it: a frame of a video of 10 Mbit/s. Acknowledgements that come late and all at once
/// make any link look fast for a moment; more is for who has data all the time.
const LARGEST_OF_BURSTS: usize = 4 * INITIAL;
/// Below it what the kernel puts into one packet matters: 64 KiB, whatever its buffer may hold.
const TIGHT: usize = 64 << 10;
/// Shorter looks at the pace are noise.
const SHORTEST_LOOK: Duration = Duration::from_millis(20);
/// After so long without a full kernel, what was learned is forgotten by half.
const MEMORY: Duration = Duration::from_secs(1);

/// What the kernel says of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Reading {
    /// Bytes acknowledged so far.
    pub acknowledged: u64,
    pub shortest_round_trip: Duration,
}

#[derive(Debug)]
pub struct Flight {
    size: usize,
    /// Data may be so long in the kernel, beyond a round trip.
    share: Duration,
    /// Since this wake-up the kernel has never been short of data.
    look: Option<Look>,
    filled: Option<Instant>,
    /// The same, of a link that was slow to take it.
    congested: Option<Instant>,
    /// Bytes per second the link last took.
    pace: f64,
}

#[derive(Debug)]
struct Look {
    since: Instant,
    acknowledged: u64,
}

impl Flight {
    pub fn new(share: Duration) -> Flight {
        Flight {
            size: INITIAL,
            share,
            look: None,
            filled: None,
            congested: None,
            pace: 0.0,
        }
    }

    /// Bytes the kernel may hold.
    pub fn size(&self) -> usize {
        self.size
    }

    /// Whether the kernel must not be given more than this size at any time: it was full a moment ago, and takes little.
    pub fn is_tight(&self, now: Instant) -> bool {
        let recent = |congested: Instant| now.saturating_duration_since(congested) < MEMORY;
        self.size < TIGHT && self.congested.is_some_and(recent)
    }

    /// The kernel was full `since` then, with `held` bytes, and takes more.
    pub fn drained(&mut self, now: Instant, since: Instant, held: usize, reading: Reading) {
        self.filled = Some(now);
        let Some(look) = &self.look else {
            self.judge_burst(now.saturating_duration_since(since), now, reading);
            return self.look_from(now, reading);
        };
        let time = now.saturating_duration_since(look.since);
        if time < reading.shortest_round_trip.max(SHORTEST_LOOK) {
            return;
        }
        let taken = reading.acknowledged.saturating_sub(look.acknowledged);
        // One look may meet a pause: of a timeout, or of a congestion control that measures the way.
        let pace = (taken as f64 / time.as_secs_f64()).max(self.pace / 2.0);
        self.pace = pace;
        self.look_from(now, reading);
        let round_trip = reading.shortest_round_trip.as_secs_f64();
        let stay = held as f64 / pace.max(1.0);
        let share = self.share.as_secs_f64();
        // Nothing waits on the way: it is this size that limits the pace.
        let free = stay < 1.25 * round_trip + share / 4.0;
        let factor = match free {
            true => 2.0,
            false => (round_trip + share) / stay,
        };
        if !free {
            self.congested = Some(now);
        }
        let size = self.size as f64 * factor.clamp(0.5, 2.0);
        self.size = (size as usize).clamp(SMALLEST, LARGEST);
    }

    /// The first time it was full, `third` of it took so long. What waits may be gone before there is a look at the pace.
    fn judge_burst(&mut self, third: Duration, now: Instant, reading: Reading) {
        let whole = reading.shortest_round_trip + self.share;
        // Twice as much leaves in time. That the way is long says nothing: what had left before is acknowledged as well.
        if 6 * third <= self.share {
            self.size = self.size.max((2 * self.size).min(LARGEST_OF_BURSTS));
            return;
        }
        self.congested = Some(now);
        // A third alone took longer than all should. Without this, a size that holds all that waits is never judged.
        if third > whole {
            self.size = (self.size / 2).max(SMALLEST);
        }
    }

    /// All that waited has left without filling the kernel.
    pub fn emptied(&mut self, now: Instant) {
        self.look = None;
        self.pace = 0.0;
        let Some(filled) = self.filled else { return };
        if now.saturating_duration_since(filled) > MEMORY {
            self.filled = (self.size != INITIAL).then_some(now);
            self.size = match self.size > INITIAL {
                true => (self.size / 2).max(INITIAL),
                false => (self.size * 2).min(INITIAL),
            };
        }
    }

    fn look_from(&mut self, now: Instant, reading: Reading) {
        self.look = Some(Look {
            since: now,
            acknowledged: reading.acknowledged,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: Duration = Duration::from_millis(50);

    /// A sender that always has data, over a link of this rate and round trip without data of others.
    struct Link {
        flight: Flight,
        now: Instant,
        bytes_per_second: f64,
        round_trip: Duration,
        acknowledged: u64,
    }

    impl Link {
        fn new(bits: f64, round_trip: u64) -> Link {
            Link {
                flight: Flight::new(SHARE),
                now: Instant::now(),
                bytes_per_second: bits / 8.0,
                round_trip: Duration::from_millis(round_trip),
                acknowledged: 0,
            }
        }

        /// How long what is written last stays in the kernel.
        fn stay(&self) -> Duration {
            let drains = self.flight.size() as f64 / self.bytes_per_second;
            Duration::from_secs_f64(drains).max(self.round_trip)
        }

        /// Full, and a third of it acknowledged.
        fn turn(&mut self) {
            let held = self.flight.size();
            let pace = held as f64 / self.stay().as_secs_f64();
            let third = held as f64 / 3.0;
            let since = self.now;
            self.now += Duration::from_secs_f64(third / pace);
            self.acknowledged += third as u64;
            let reading = Reading {
                acknowledged: self.acknowledged,
                shortest_round_trip: self.round_trip,
            };
            self.flight.drained(self.now, since, held, reading);
        }

        fn run(&mut self, time: Duration) {
            let end = self.now + time;
            while self.now < end {
                self.turn();
            }
        }
    }

    #[test]
    fn on_any_link_data_stays_a_round_trip_and_a_share_and_the_link_is_full() {
        for bits in [3e5, 1e6, 1e7, 1e8] {
            for round_trip in [0, 1, 20, 100] {
                let mut link = Link::new(bits, round_trip);
                link.run(Duration::from_secs(5));
                let most = link.round_trip + SHARE * 3 / 2;
                // Below that it is two segments.
                let least = SMALLEST as f64 * 8.0 / bits;
                let stay = link.stay();
                assert!(
                    stay <= most.max(Duration::from_secs_f64(least)),
                    "{bits} bit/s, {round_trip} ms: {stay:?}"
                );
                let size = link.flight.size();
                let pace = size as f64 / stay.as_secs_f64();
                let full = pace > 0.9 * link.bytes_per_second;
                assert!(full || size == LARGEST, "{bits}: {pace}");
                assert!(size <= LARGEST, "{bits}: {size}");
            }
        }
    }

    #[test]
    fn only_a_link_that_was_full_a_moment_ago_and_takes_little_is_tight() {
        let mut slow = Link::new(1e6, 20);
        assert!(!slow.flight.is_tight(slow.now));
        slow.run(Duration::from_secs(2));
        assert!(slow.flight.is_tight(slow.now));
        assert!(!slow.flight.is_tight(slow.now + 2 * MEMORY));
        let mut fast = Link::new(1e8, 20);
        fast.run(Duration::from_secs(2));
        assert!(!fast.flight.is_tight(fast.now));
    }

    #[test]
    fn a_link_that_becomes_slow_is_noticed_before_data_is_old() {
        let mut link = Link::new(4e6, 20);
        link.run(Duration::from_secs(2));
        link.bytes_per_second /= 4.0;
        link.run(Duration::from_millis(200));
        assert!(
            link.stay() < Duration::from_millis(100),
            "{:?}",
            link.stay()
        );
    }

    #[test]
    fn a_size_that_holds_all_that_waits_shrinks_as_well() {
        let mut link = Link::new(1e8, 20);
        link.run(Duration::from_secs(2));
        link.bytes_per_second = 1e6 / 8.0;
        for _ in 0..10 {
            link.turn();
            link.flight.emptied(link.now);
        }
        assert!(
            link.stay() < Duration::from_millis(250),
            "{:?}",
            link.stay()
        );
    }

    #[test]
    fn a_burst_a_fast_link_takes_at_once_makes_room_for_the_next_and_nothing_tight() {
        let mut link = Link::new(1e8, 1);
        link.turn();
        assert_eq!(link.flight.size(), 2 * INITIAL);
        assert!(!link.flight.is_tight(link.now));
        for _ in 0..10 {
            link.flight.emptied(link.now);
            link.turn();
        }
        assert_eq!(link.flight.size(), LARGEST_OF_BURSTS);
        let mut slow = Link::new(1e6, 1);
        slow.turn();
        assert!(slow.flight.size() <= INITIAL);
        assert!(slow.flight.is_tight(slow.now));
    }

    #[test]
    fn what_is_not_needed_is_forgotten() {
        let mut link = Link::new(1e8, 20);
        link.run(Duration::from_secs(2));
        assert!(link.flight.size() > 10 * INITIAL);
        for second in 0..20 {
            let now = link.now + Duration::from_millis(1100 * second);
            link.flight.emptied(now);
        }
        assert_eq!(link.flight.size(), INITIAL);
        let mut slow = Link::new(3e5, 20);
        slow.run(Duration::from_secs(2));
        assert!(slow.flight.size() < INITIAL);
        for second in 0..20 {
            let now = slow.now + Duration::from_millis(1100 * second);
            slow.flight.emptied(now);
        }
        assert_eq!(slow.flight.size(), INITIAL);
    }
}
