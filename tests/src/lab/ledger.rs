//! What was sent and what arrived of one stream, told apart by sequence number.

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
        }
        self.next = self.next.max(sequence + 1);
    }

    /// The full sequence number behind the last 16 bits of it, for packets near the newest.
    pub fn unwrap(&self, low: u16) -> u64 {
        let distance = low.wrapping_sub(self.next as u16) as i16;
        self.next.saturating_add_signed(i64::from(distance))
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
