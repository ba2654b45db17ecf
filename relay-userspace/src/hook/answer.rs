//! What the service says of a user: JSON to an `Answer`. A field nobody knows is a fault: a misspelt limit would be none.

use serde::Deserialize;

use crate::config::Caps;
use crate::police::Limit;
use crate::secret::Secret;

/// RFC 8489 leaves passwords any length; no generator makes longer ones.
const LONGEST_PASSWORD: usize = 512;
/// What is cached for longer is an account that should be in the configuration.
const LONGEST_CACHE: u64 = 86_400;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    pub allow: bool,
    /// Proves a user whom no shared secret vouches for.
    pub password: Option<Secret<String>>,
    /// When the account ends, Unix seconds.
    pub expires: Option<u64>,
    /// How long the answer holds; `None`: as configured.
    pub cache_seconds: Option<u64>,
    pub caps: Caps,
    pub limit: Limit,
}

#[derive(Debug, thiserror::Error)]
pub enum Unreadable {
    #[error("not the JSON of docs/accounts.md: {0}")]
    Json(#[from] serde_json::Error),
    #[error("{0}")]
    Value(&'static str),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    allow: bool,
    password: Option<String>,
    expires: Option<u64>,
    cache_seconds: Option<u64>,
    #[serde(default)]
    limits: Limits,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Limits {
    allocations: Option<usize>,
    channels: Option<usize>,
    permissions: Option<usize>,
    bits_per_second: Option<u64>,
    packets_per_second: Option<u64>,
}

pub fn read(body: &[u8]) -> Result<Answer, Unreadable> {
    let Body {
        allow,
        password,
        expires,
        cache_seconds,
        limits,
    } = serde_json::from_slice(body)?;
    let fits = |text: &String| !text.is_empty() && text.len() <= LONGEST_PASSWORD;
    if password.as_ref().is_some_and(|text| !fits(text)) {
        return Err(Unreadable::Value("password: 1 to 512 bytes"));
    }
    if cache_seconds.is_some_and(|seconds| seconds > LONGEST_CACHE) {
        return Err(Unreadable::Value("cache_seconds: at most a day, 86400"));
    }
    if limits
        .bits_per_second
        .is_some_and(|bits| bits < Limit::FEWEST_BITS)
    {
        return Err(Unreadable::Value("limits.bits_per_second: 8000 or more"));
    }
    if limits.packets_per_second == Some(0) {
        return Err(Unreadable::Value("limits.packets_per_second: 1 or more"));
    }
    Ok(Answer {
        allow,
        password: password.map(Secret::new),
        expires,
        cache_seconds,
        caps: Caps {
            allocations: limits.allocations,
            channels: limits.channels,
            permissions: limits.permissions,
        },
        limit: Limit {
            bits_per_second: limits.bits_per_second,
            packets_per_second: limits.packets_per_second,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_carries_password_and_limits() {
        let answer = read(
            br#"{"allow": true, "password": "p", "expires": 9, "cache_seconds": 5,
            "limits": {"allocations": 2, "bits_per_second": 100000}}"#,
        )
        .unwrap();
        assert!(answer.allow);
        assert_eq!(answer.password, Some(Secret::new("p".to_owned())));
        assert_eq!((answer.expires, answer.cache_seconds), (Some(9), Some(5)));
        assert_eq!(answer.caps.allocations, Some(2));
        assert_eq!(answer.limit.bits_per_second, Some(100_000));
    }

    #[test]
    fn what_is_not_wholly_understood_is_a_fault() {
        for body in [
            "",
            "true",
            "{}",
            r#"{"allow": "yes"}"#,
            r#"{"allow": true, "limit": {}}"#,
            r#"{"allow": true, "limits": {"bits": 1}}"#,
            r#"{"allow": true, "limits": {"bits_per_second": 1}}"#,
            r#"{"allow": true, "limits": {"packets_per_second": 0}}"#,
            r#"{"allow": true, "password": ""}"#,
            r#"{"allow": true, "cache_seconds": 86401}"#,
            r#"{"allow": true} {"allow": true}"#,
        ] {
            assert!(read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
