//! A policer: what comes faster than its rate is dropped, and nothing waits.

use std::time::Instant;

/// Bytes that may come at once.
const BURST: f64 = 6000.0;

#[derive(Debug)]
pub(super) struct Policer {
    bytes: f64,
    filled: Instant,
}

impl Policer {
    pub fn new() -> Self {
        Self {
            bytes: BURST,
            filled: Instant::now(),
        }
    }

    /// Without a rate, all does.
    pub fn passes(&mut self, bits_per_second: Option<u64>, length: usize) -> bool {
        let Some(rate) = bits_per_second else {
            return true;
        };
        let now = Instant::now();
        let time = now.saturating_duration_since(self.filled).as_secs_f64();
        self.filled = now;
        self.bytes = (self.bytes + time * rate as f64 / 8.0).min(BURST);
        let passes = self.bytes >= length as f64;
        if passes {
            self.bytes -= length as f64;
        }
        passes
    }
}
