//! Bodies of admin requests to values the relay takes, with the spelling and rules of the configuration.

use super::refusal::Refusal;
use crate::api::{CredentialsRequest, ForwardRequest, Limit, LimitRequest};
use crate::config::fault::Wrong;
use crate::config::{Forward, defaults, forward_limits, value};
use crate::events::Filter;

/// Longest life of a credential made on request: a leaked one should not outlive its purpose by much.
pub const LONGEST_TTL: u64 = 30 * 86_400;

pub fn forward(request: ForwardRequest) -> Result<Forward, Refusal> {
    let listen = at("listen", value::forward_listen(&request.listen))?;
    let allow = request.allow.iter().map(|net| value::network(net));
    let forward = Forward {
        name: match &request.name {
            Some(name) => at("name", value::name(name))?,
            None => defaults::forward_name(listen),
        },
        listen,
        to: at("to", value::destination(&request.to))?,
        allow: at("allow", allow.collect())?,
        idle: match &request.idle {
            Some(idle) => at("idle", value::duration(idle))?,
            None => defaults::FORWARD_IDLE,
        },
        max_sessions: request.max_sessions.unwrap_or(defaults::FORWARD_SESSIONS),
    };
    at("forward", forward_limits(&forward))?;
    Ok(forward)
}

pub fn limit(request: LimitRequest) -> Result<LimitRequest, Refusal> {
    let Limit {
        bits_per_second: bits,
        packets_per_second: packets,
    } = request.limit;
    let bits = match bits {
        Some(bits) => value::bit_rate(&bits.to_string()).map(drop),
        None => Ok(()),
    };
    at("limit.bits_per_second", bits)?;
    let wrong = || Wrong::new("0 packets would let nothing through", "ask for 1 or more");
    let packets = (packets != Some(0)).then_some(()).ok_or_else(wrong);
    at("limit.packets_per_second", packets)?;
    Ok(request)
}

/// Where the request says that clients reach the relay: host and port, each if it says so.
pub fn credentials(request: &CredentialsRequest) -> Result<(Option<String>, Option<u16>), Refusal> {
    at("user", user(&request.user))?;
    let lives = (1..=LONGEST_TTL).contains(&request.ttl_seconds);
    let wrong = || {
        Wrong::new(
            format!("no credential may live {} s", request.ttl_seconds),
            "ask for 1 second to 30 days",
        )
    };
    at("ttl_seconds", lives.then_some(()).ok_or_else(wrong))?;
    match &request.host {
        None => Ok((None, None)),
        Some(host) => {
            let (host, port) = at("host", value::public_host(host))?;
            Ok((Some(host), port))
        }
    }
}

/// `of`: patterns with commas between.
pub fn events(of: Option<&str>, user: Option<String>) -> Result<Filter, Refusal> {
    let words = of
        .unwrap_or_default()
        .split(',')
        .filter(|word| !word.is_empty());
    let of = words.map(value::event_pattern).collect();
    Ok(Filter {
        of: at("of", of)?,
        user,
    })
}

/// A name in a time-limited user name; RFC 8489 §14.3 leaves 508 bytes for all of it.
pub fn user(name: &str) -> Result<(), Wrong> {
    let good = !name.is_empty() && name.len() <= 256 && !name.chars().any(char::is_control);
    let wrong = || {
        Wrong::new(
            format!("{name:?} is not a user name"),
            "use 1 to 256 printable characters",
        )
    };
    good.then_some(()).ok_or_else(wrong)
}

fn at<T>(key: &'static str, read: Result<T, Wrong>) -> Result<T, Refusal> {
    read.map_err(|wrong| Refusal::Wrong { key, wrong })
}
