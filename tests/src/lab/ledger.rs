//! What was sent and what arrived of one stream, told apart by sequence number.

use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};

use super::histogram::Histogram;

/// Shared by the two ends of a stream.
#[derive(Debug, Clone, Default)]
pub struct Ledger(Arc<Mutex<Stream>>);

/// The state of one stream.
#[derive(Debug, Clone, Default)]
pub struct Stream {
    pub sent: u64,
    /// Without duplicates.
    pub received: u64,
    pub duplicated: u64,
    pub bytes: u64,
    pub delay: Histogram,
    seen: Vec<u64>,
    next: u64,
}

impl Ledger {
    pub fn lock(&self) -> MutexGuard<'_, Stream> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Packets that were sent and did not arrive, those under way included.
    pub fn missing(&self) -> u64 {
        let stream = self.lock();
        stream.sent.saturating_sub(stream.received)
    }
}

impl Stream {
    pub fn arrived(&mut self, sequence: u64, bytes: usize) {
        let (word, bit) = ((sequence / 64) as usize, 1 << (sequence % 64));
        if self.seen.len() <= word {
            self.seen.resize(word + 1, 0);
        }
        if self.seen[word] & bit == 0 {
            self.seen[word] |= bit;
            self.received += 1;
            self.bytes += bytes as u64;
        } else {
            self.duplicated += 1;
        }
        self.next = self.next.max(sequence + 1);
    }

    /// The full sequence number behind the last 16 bits of it, for packets near the newest.
    pub fn unwrap(&self, low: u16) -> u64 {
        let distance = low.wrapping_sub(self.next as u16) as i16;
        self.next.saturating_add_signed(i64::from(distance))
    }

    /// Of those that were sent from number `first` on.
    pub fn missing_from(&self, first: u64) -> u64 {
        self.sent.saturating_sub(first) - self.received_of(first..self.sent)
    }

    /// Of these numbers.
    pub fn received_of(&self, numbers: Range<u64>) -> u64 {
        let seen = |number: &u64| {
            let word = self.seen.get((number / 64) as usize);
            word.is_some_and(|word| word >> (number % 64) & 1 == 1)
        };
        numbers.filter(seen).count() as u64
    }

    /// From number `first` on.
    pub fn received_from(&self, first: u64) -> u64 {
        self.received_of(first..self.next)
    }

    /// Whether the last that was sent is there.
    pub fn has_last(&self) -> bool {
        self.next >= self.sent
    }

    /// Holes before the newest packet: what is lost, or late.
    pub fn gaps(&self) -> u64 {
        self.next - self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hole_is_a_gap_until_the_late_packet_comes() {
        let mut stream = Stream::default();
        [0, 1, 3].into_iter().for_each(|n| stream.arrived(n, 1));
        assert_eq!(stream.gaps(), 1);
        stream.arrived(2, 1);
        assert_eq!(stream.gaps(), 0);
    }

    #[test]
    fn a_duplicate_hides_no_loss() {
        let mut stream = Stream::default();
        [0, 0, 2].into_iter().for_each(|n| stream.arrived(n, 1));
        assert_eq!((stream.received, stream.gaps()), (2, 1));
        assert_eq!(stream.duplicated, 1);
    }

    #[test]
    fn what_is_missing_is_told_from_a_number_on() {
        let mut stream = Stream::default();
        [0, 2, 70, 71]
            .into_iter()
            .for_each(|n| stream.arrived(n, 1));
        stream.sent = 73;
        let missing = [0, 2, 3, 70, 72, 73, 80].map(|first| stream.missing_from(first));
        assert_eq!(missing, [69, 68, 68, 1, 1, 0, 0]);
        assert_eq!(
            [0, 2, 71, 72].map(|first| stream.received_from(first)),
            [4, 3, 1, 0]
        );
    }

    #[test]
    fn sixteen_bits_unwrap_across_the_border() {
        let mut stream = Stream::default();
        for sequence in 0..200_000u64 {
            let full = stream.unwrap(sequence as u16);
            assert_eq!(full, sequence);
            stream.arrived(full, 1);
        }
    }
}
