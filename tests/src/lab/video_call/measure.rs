//! The figures of one call, taken from its two directions while its schedule goes on.

use std::time::{Duration, Instant};

use super::Outcome;
use super::track::Track;

/// Told of each turn of the schedule when it is taken. Pictures are those decoded so far, at both ends.
#[derive(Default)]
pub struct Measure {
    pub to_callee: Track,
    pub to_caller: Track,
    cut: Option<Instant>,
    restored: Option<Instant>,
    /// Packets each way that were sent before UDP passed again.
    sent_before: Option<[u64; 2]>,
    /// When the call was on TLS.
    pictures: [u64; 2],
    cut_gap: Duration,
    outcome: Outcome,
}

impl Measure {
    pub fn udp_cut(&mut self, now: Instant) {
        self.cut = Some(now);
        self.each(Track::forget_silences);
    }

    pub fn on_tls(&mut self, now: Instant, pictures: [u64; 2]) -> u64 {
        let took = milliseconds(self.cut, now);
        self.outcome.switch_to_tcp_ms = Some(took);
        self.pictures = pictures;
        took
    }

    pub fn udp_restored(&mut self, now: Instant, pictures: [u64; 2]) {
        self.restored = Some(now);
        let each = [0, 1].map(|end| pictures[end].saturating_sub(self.pictures[end]));
        self.outcome.pictures_over_tls = each[0].min(each[1]);
        self.cut_gap = self.longest_silence(now);
        self.sent_before = Some(self.each(Track::sent));
        self.each(Track::forget_silences);
    }

    pub fn on_udp(&mut self, now: Instant) -> u64 {
        let took = milliseconds(self.restored, now);
        self.outcome.switch_to_udp_ms = Some(took);
        took
    }

    /// While packets still flow: what comes after is no silence.
    pub fn last_packets(&mut self, now: Instant) {
        let gap = self.longest_silence(now);
        if self.restored.is_some() {
            self.outcome.return_gap_ms = gap.as_millis() as u64;
        }
        self.outcome.app_gap_ms = gap.max(self.cut_gap).as_millis() as u64;
    }

    /// Whether nothing is under way any more.
    pub fn is_whole(&self) -> bool {
        self.each(Track::has_last) == [true, true]
    }

    pub fn end(&mut self, pictures: [u64; 2]) {
        self.outcome.lost = self.missing_from([0, 0]);
        self.outcome.duplicated = self.duplicated();
        self.outcome.lost_on_return = self
            .sent_before
            .map_or(0, |before| self.missing_from(before));
        self.outcome.pictures = pictures.iter().sum();
    }

    pub fn outcome(&self) -> Outcome {
        self.outcome
    }

    pub fn longest_silence(&self, now: Instant) -> Duration {
        let [one, other] = self.each(|track| track.longest_silence(now));
        one.max(other)
    }

    /// Not there, of both directions; what is under way included.
    pub fn missing(&self) -> u64 {
        self.missing_from([0, 0])
    }

    pub fn duplicated(&self) -> u64 {
        self.each(Track::duplicated).iter().sum()
    }

    pub fn flows(&self) -> bool {
        self.each(Track::received)
            .iter()
            .all(|&packets| packets > 0)
    }

    fn missing_from(&self, [to_callee, to_caller]: [u64; 2]) -> u64 {
        self.to_callee.missing_from(to_callee) + self.to_caller.missing_from(to_caller)
    }

    fn each<T>(&self, of: impl Fn(&Track) -> T) -> [T; 2] {
        [&self.to_callee, &self.to_caller].map(of)
    }
}

fn milliseconds(since: Option<Instant>, now: Instant) -> u64 {
    since.map_or(0, |since| {
        now.saturating_duration_since(since).as_millis() as u64
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both directions at a packet each 10 ms from `from` to `to`, but those from `lost` on for `count` packets.
    fn stream(measure: &Measure, start: Instant, times: std::ops::Range<u16>, lost: &[u16]) {
        for track in [&measure.to_callee, &measure.to_caller] {
            for number in times.clone() {
                let mut packet = [0x80; 12];
                packet[2..4].copy_from_slice(&number.to_be_bytes());
                track.leaves(&packet);
                if !lost.contains(&number) {
                    track.arrives(&packet, at(start, number));
                }
            }
        }
    }

    /// The time that packet `number` is sent and arrives.
    fn at(start: Instant, number: u16) -> Instant {
        start + Duration::from_millis(u64::from(number) * 10)
    }

    #[test]
    fn a_round_is_measured_from_its_turns() {
        let (mut measure, start) = (Measure::default(), Instant::now());
        stream(&measure, start, 0..100, &[]);
        measure.udp_cut(at(start, 100));
        let gone: Vec<u16> = (100..250).collect();
        stream(&measure, start, 100..350, &gone);
        assert_eq!(measure.on_tls(at(start, 350), [40, 50]), 2500);
        stream(&measure, start, 350..900, &[]);
        measure.udp_restored(at(start, 900), [240, 220]);
        stream(&measure, start, 900..1800, &[1700]);
        assert_eq!(measure.on_udp(at(start, 1800)), 9000);
        measure.last_packets(at(start, 1800));
        assert!(measure.is_whole());
        measure.end([500, 520]);
        let expected = Outcome {
            switch_to_tcp_ms: Some(2500),
            switch_to_udp_ms: Some(9000),
            app_gap_ms: 1510,
            lost: 302,
            duplicated: 0,
            lost_on_return: 2,
            return_gap_ms: 20,
            pictures: 1020,
            pictures_over_tls: 170,
        };
        assert_eq!(measure.outcome(), expected);
    }

    #[test]
    fn a_call_that_stays_silent_after_the_cut_has_that_as_its_gap() {
        let (mut measure, start) = (Measure::default(), Instant::now());
        stream(&measure, start, 0..100, &[]);
        measure.udp_cut(at(start, 100));
        stream(&measure, start, 100..200, &(100..200).collect::<Vec<_>>());
        measure.last_packets(at(start, 1600));
        measure.end([1, 1]);
        let outcome = measure.outcome();
        assert_eq!((outcome.app_gap_ms, outcome.lost), (15_010, 200));
        assert_eq!(outcome.switch_to_tcp_ms, None);
        assert!(!measure.is_whole());
    }
}
