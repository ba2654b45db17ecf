//! An `Instant` as a number that the next process of the same boot understands: nanoseconds of `CLOCK_MONOTONIC`.

use std::time::{Duration, Instant};

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Deserializer, Serializer};

pub fn serialize<S: Serializer>(at: &Instant, to: S) -> Result<S::Ok, S::Error> {
    let (now, clock) = read();
    let nanos = match at.checked_duration_since(now) {
        Some(ahead) => clock + ahead,
        None => clock.saturating_sub(now.duration_since(*at)),
    };
    to.serialize_u64(u64::try_from(nanos.as_nanos()).unwrap_or(u64::MAX))
}

pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Instant, D::Error> {
    let at = Duration::from_nanos(u64::deserialize(from)?);
    let (now, clock) = read();
    let instant = match at.checked_sub(clock) {
        Some(ahead) => now.checked_add(ahead),
        None => now.checked_sub(clock - at),
    };
    instant.ok_or_else(|| serde::de::Error::custom("a moment out of range"))
}

/// `Instant` is `CLOCK_MONOTONIC` on Linux, but keeps it to itself.
fn read() -> (Instant, Duration) {
    let clock = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
    (Instant::now(), clock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(serde::Serialize, serde::Deserialize)]
    struct At(#[serde(with = "super")] Instant);

    #[test]
    fn a_moment_comes_back_as_it_was() {
        let now = Instant::now();
        let later = now + Duration::from_secs(600);
        let earlier = now.checked_sub(Duration::from_millis(5)).expect("uptime");
        for at in [now, later, earlier] {
            let text = serde_json::to_string(&At(at)).expect("json");
            let At(back) = serde_json::from_str(&text).expect("json");
            let apart = back.max(at) - back.min(at);
            assert!(apart < Duration::from_millis(50), "{apart:?}");
        }
    }
}
