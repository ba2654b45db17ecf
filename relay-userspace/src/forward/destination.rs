//! From a forward's `HOST:PORT` to the addresses it may send to now: resolve, then ask the peer policy.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::config::Destination;
use crate::relay::ForwardError;

/// How often a name is looked up again while its forward exists.
pub const RESOLVE_EVERY: Duration = Duration::from_secs(30);

/// Shorter than the command line waits for its answer, so that the answer says which name it is.
const LONGEST_LOOKUP: Duration = Duration::from_secs(5);

/// A literal address never changes: nothing to look up again.
pub fn is_literal(destination: &Destination) -> bool {
    bare(&destination.host).parse::<IpAddr>().is_ok()
}

/// What the name stands for now, in the resolver's order, each once.
pub async fn resolve(destination: &Destination) -> Result<Vec<SocketAddr>, ForwardError> {
    let host = bare(&destination.host);
    let failed = |source: io::Error| ForwardError::Resolve {
        host: host.to_string(),
        source,
    };
    let mut addresses: Vec<SocketAddr> = Vec::new();
    let lookup = tokio::net::lookup_host((host, destination.port));
    for address in in_time(LONGEST_LOOKUP, lookup).await.map_err(failed)? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match addresses.is_empty() {
        true => Err(ForwardError::NoAddress {
            host: host.to_string(),
        }),
        false => Ok(addresses),
    }
}

/// Those of the addresses that may be reached. When none may, the refusal of the first one, with its rule.
pub fn permitted(
    addresses: Vec<SocketAddr>,
    refusal: impl Fn(SocketAddr) -> Option<String>,
) -> Result<Vec<SocketAddr>, ForwardError> {
    let allowed: Vec<_> = addresses
        .iter()
        .copied()
        .filter(|address| refusal(*address).is_none())
        .collect();
    match (allowed.is_empty(), addresses.first()) {
        (true, Some(first)) => Err(ForwardError::Denied {
            address: *first,
            rule: refusal(*first).unwrap_or_default(),
        }),
        _ => Ok(allowed),
    }
}

async fn in_time<T>(limit: Duration, lookup: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let answer = tokio::time::timeout(limit, lookup).await;
    answer.unwrap_or_else(|_| {
        let silent = format!("no name server answered within {}s", limit.as_secs());
        Err(io::Error::new(io::ErrorKind::TimedOut, silent))
    })
}

fn bare(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(host: &str) -> Destination {
        Destination {
            host: host.to_string(),
            port: 5000,
        }
    }

    #[tokio::test]
    async fn literals_and_names_resolve_and_nonsense_names_its_host() {
        assert!(
            is_literal(&to("[::1]"))
                && is_literal(&to("192.0.2.1"))
                && !is_literal(&to("localhost"))
        );
        assert_eq!(
            resolve(&to("[::1]")).await.expect("literal"),
            ["[::1]:5000".parse().expect("address")]
        );
        assert!(
            !resolve(&to("localhost"))
                .await
                .expect("hosts file")
                .is_empty()
        );
        let error = resolve(&to("no such name")).await.expect_err("not a name");
        assert!(
            error.to_string().starts_with("resolve no such name: "),
            "{error}"
        );
    }

    #[tokio::test]
    async fn a_silent_name_server_is_not_waited_for() {
        let silent = std::future::pending::<io::Result<()>>();
        let error = in_time(Duration::ZERO, silent)
            .await
            .expect_err("no answer");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn a_name_with_one_forbidden_address_keeps_the_others() {
        let (good, bad): (SocketAddr, SocketAddr) = (
            "192.0.2.1:1".parse().expect("address"),
            "127.0.0.1:1".parse().expect("address"),
        );
        let rule = |address: SocketAddr| address.ip().is_loopback().then(|| "loopback".to_string());
        assert_eq!(
            permitted(vec![bad, good], rule).expect("one is good"),
            [good]
        );
        let error = permitted(vec![bad], rule).expect_err("none is good");
        assert_eq!(error.to_string(), "destination 127.0.0.1:1 is loopback");
    }
}
