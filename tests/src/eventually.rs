//! Waiting for what must come true, with a deadline instead of a guess.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Asks every few milliseconds until `probe` gives a value; an error that names `what` after `limit`.
pub fn within<T>(limit: Duration, what: &str, mut probe: impl FnMut() -> Option<T>) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        if let Some(value) = probe() {
            return Ok(value);
        }
        if Instant::now() > end {
            bail!("not within {limit:?}: {what}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// As [`within`] ten seconds, for a condition.
pub fn eventually(what: &str, mut probe: impl FnMut() -> bool) -> Result<()> {
    within(Duration::from_secs(10), what, || probe().then_some(()))
}
