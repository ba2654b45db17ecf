//! Times, as people write them.

use std::time::Duration;

use super::{Read, wrong};

/// `90s`, `10m`, `1h30m`, `500ms`, `2d`. A bare number is refused: nobody knows its unit.
pub fn duration(text: &str) -> Read<Duration> {
    const REMEDY: &str = "write a number with a unit: 90s, 10m, 1h or 2d";
    let mut total = Duration::ZERO;
    let mut rest = text.trim();
    if rest.is_empty() {
        return wrong("an empty text is not a duration", REMEDY);
    }
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(rest.len());
        let unit_end = rest[digits..]
            .find(|c: char| c.is_ascii_digit())
            .map_or(rest.len(), |end| digits + end);
        let amount = rest[..digits].parse::<u64>().ok();
        let milliseconds = match &rest[digits..unit_end] {
            "ms" => Some(1),
            "s" => Some(1_000),
            "m" => Some(60_000),
            "h" => Some(3_600_000),
            "d" => Some(86_400_000),
            _ => None,
        };
        let part = amount.zip(milliseconds).and_then(|(a, m)| a.checked_mul(m));
        match part.and_then(|part| total.checked_add(Duration::from_millis(part))) {
            Some(sum) => total = sum,
            None => return wrong(format!("{text:?} is not a duration"), REMEDY),
        }
        rest = &rest[unit_end..];
    }
    Ok(total)
}

/// `1h30m` back from a duration, the shortest exact spelling.
pub fn duration_text(duration: Duration) -> String {
    let mut rest = duration.as_millis();
    if rest == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, size) in [
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ] {
        if rest >= size {
            text.push_str(&format!("{}{unit}", rest / size));
            rest %= size;
        }
    }
    text
}

/// A duration that something is waited for or remembered.
pub fn wait(text: &str, longest: Duration) -> Read<Duration> {
    let time = duration(text)?;
    match time.is_zero() || time > longest {
        true => wrong(
            format!("{text} is no time to wait"),
            format!("write 1ms up to {}", duration_text(longest)),
        ),
        false => Ok(time),
    }
}
