//! The RTP of one direction, at the two applications: what one sent, what the other got and how long it waited.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::lab::ledger::Stream;
use crate::lab::video::rtp_sequence;

/// Shared by both ends. Packets that are not RTP do not count.
#[derive(Clone, Default)]
pub struct Track(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    stream: Stream,
    last: Option<Instant>,
    /// Between two new packets.
    longest: Duration,
}

impl Track {
    pub fn leaves(&self, packet: &[u8]) {
        if rtp_sequence(packet).is_some() {
            self.lock().stream.sent += 1;
        }
    }

    /// One that came before counts as a duplicate and ends no silence.
    pub fn arrives(&self, packet: &[u8], now: Instant) {
        let Some(sequence) = rtp_sequence(packet) else {
            return;
        };
        let mut state = self.lock();
        let before = state.stream.received;
        let sequence = state.stream.unwrap(sequence);
        state.stream.arrived(sequence, packet.len());
        if state.stream.received > before {
            state.longest = state.longest.max(state.silence(now));
            state.last = Some(now);
        }
    }

    /// The longest silence is that which ends, or lasts, from now on.
    pub fn forget_silences(&self) {
        self.lock().longest = Duration::ZERO;
    }

    /// The one that lasts included.
    pub fn longest_silence(&self, now: Instant) -> Duration {
        let state = self.lock();
        state.longest.max(state.silence(now))
    }

    pub fn sent(&self) -> u64 {
        self.lock().stream.sent
    }

    pub fn received(&self) -> u64 {
        self.lock().stream.received
    }

    pub fn duplicated(&self) -> u64 {
        self.lock().stream.duplicated
    }

    /// Of those sent from number `first` on.
    pub fn missing_from(&self, first: u64) -> u64 {
        self.lock().stream.missing_from(first)
    }

    /// Whether the last one that was sent is there.
    pub fn has_last(&self) -> bool {
        self.lock().stream.has_last()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

impl State {
    fn silence(&self, now: Instant) -> Duration {
        self.last
            .map_or(Duration::ZERO, |last| now.saturating_duration_since(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rtp(sequence: u16) -> Vec<u8> {
        let mut packet = vec![0x80; 20];
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet
    }

    /// All of `numbers` sent; those with a time, in milliseconds, arrive.
    fn track(numbers: std::ops::Range<u16>, arrivals: &[(u16, u64)]) -> (Track, Instant) {
        let (track, start) = (Track::default(), Instant::now());
        numbers.for_each(|number| track.leaves(&rtp(number)));
        for (number, at) in arrivals {
            track.arrives(&rtp(*number), start + Duration::from_millis(*at));
        }
        (track, start)
    }

    #[test]
    fn what_is_lost_or_doubled_is_told_by_sequence_number() {
        let (track, _) = track(0..6, &[(0, 0), (1, 5), (1, 6), (4, 30)]);
        assert_eq!((track.sent(), track.received()), (6, 3));
        assert_eq!(track.duplicated(), 1);
        assert_eq!([0, 2, 5].map(|first| track.missing_from(first)), [3, 3, 1]);
        assert!(!track.has_last());
        track.arrives(&rtp(5), Instant::now());
        assert!(track.has_last());
    }

    #[test]
    fn a_silence_lasts_until_something_new_comes() {
        let (track, start) = track(0..9, &[(0, 0), (1, 300), (1, 900), (2, 1000)]);
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(track.longest_silence(at(1010)), Duration::from_millis(700));
        assert_eq!(track.longest_silence(at(3000)), Duration::from_millis(2000));
        track.forget_silences();
        track.arrives(&rtp(3), at(1500));
        assert_eq!(track.longest_silence(at(1501)), Duration::from_millis(500));
    }

    #[test]
    fn what_is_no_rtp_does_not_count() {
        let track = Track::default();
        track.leaves(b"short");
        track.arrives(&[0; 40], Instant::now());
        assert_eq!((track.sent(), track.received()), (0, 0));
    }
}
