//! How long the longest datagram of the last while was. Forgets what is not sent any more.

use std::time::{Duration, Instant};

/// Remembered for so long at least, and twice as long at most.
const MEMORY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(super) struct Lengths {
    since: Option<Instant>,
    before: usize,
    longest: usize,
}

impl Lengths {
    /// The longest, when it is another one now.
    pub fn take(&mut self, now: Instant, length: usize) -> Option<usize> {
        let known = self.before.max(self.longest);
        let since = *self.since.get_or_insert(now);
        if now.saturating_duration_since(since) >= MEMORY {
            self.since = Some(now);
            self.before = std::mem::take(&mut self.longest);
        }
        self.longest = self.longest.max(length);
        let longest = self.before.max(self.longest);
        (longest != known).then_some(longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_of_the_last_while_is_told_when_it_changes() {
        let start = Instant::now();
        let mut lengths = Lengths::default();
        let mut take = |seconds, length| lengths.take(start + Duration::from_secs(seconds), length);
        assert_eq!(take(0, 100), Some(100));
        assert_eq!(take(1, 1000), Some(1000));
        assert_eq!(take(2, 100), None);
        assert_eq!(take(11, 100), None, "remembered");
        assert_eq!(take(22, 100), Some(100), "forgotten");
    }
}
