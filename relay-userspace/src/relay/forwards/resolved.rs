//! What a destination's name stands for, and what an answer changes about it. Resolves, never binds.

use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::Destination;
use crate::forward::destination::{permitted, resolve};
use crate::policy::PeerPolicy;
use crate::relay::ForwardError;

/// Where a destination's name leads now, or why nowhere new.
#[derive(Debug, Clone, Default)]
pub struct Resolved {
    pub addresses: Vec<SocketAddr>,
    pub fault: Option<String>,
}

/// Resolves the name and asks the policy.
pub async fn look_up(
    to: &Destination,
    policy: &PeerPolicy,
) -> Result<Vec<SocketAddr>, ForwardError> {
    judge(resolve(to).await?, policy)
}

/// Those of the addresses that may be reached; none of them is a fault.
pub fn judge(
    addresses: Vec<SocketAddr>,
    policy: &PeerPolicy,
) -> Result<Vec<SocketAddr>, ForwardError> {
    permitted(addresses, |address| {
        policy
            .check(address)
            .err()
            .map(|refusal| refusal.to_string())
    })
}

/// Takes an answer over. The new addresses, if they are others than before. A name that does not resolve keeps its
/// last ones; a name that points to denied addresses has none.
pub fn renew(
    resolved: &mut Resolved,
    answer: Result<Vec<SocketAddr>, ForwardError>,
) -> Option<Vec<SocketAddr>> {
    let addresses = match answer {
        Ok(addresses) => {
            resolved.fault = None;
            addresses
        }
        Err(error) => {
            resolved.fault = Some(error.to_string());
            if error.is_about_names() {
                return None;
            }
            Vec::new()
        }
    };
    let changed = resolved.addresses != addresses;
    resolved.addresses = addresses;
    changed.then(|| resolved.addresses.clone())
}

pub fn lock(resolved: &Mutex<Resolved>) -> MutexGuard<'_, Resolved> {
    resolved.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addr(text: &str) -> SocketAddr {
        text.parse().expect("an address")
    }

    fn known() -> Resolved {
        Resolved {
            addresses: vec![addr("192.0.2.1:1")],
            fault: None,
        }
    }

    #[test]
    fn a_name_that_stops_resolving_keeps_its_address_and_shows_the_fault() {
        let mut resolved = known();
        assert_eq!(
            renew(
                &mut resolved,
                Err(ForwardError::NoAddress {
                    host: "x".to_string()
                })
            ),
            None
        );
        assert_eq!(resolved.addresses, [addr("192.0.2.1:1")]);
        assert!(resolved.fault.is_some());
        assert_eq!(renew(&mut resolved, Ok(vec![addr("192.0.2.1:1")])), None);
        assert_eq!(resolved.fault, None);
    }

    #[test]
    fn a_name_that_moves_to_a_denied_address_has_no_address() {
        let (mut resolved, address) = (known(), addr("127.0.0.1:1"));
        let denied = ForwardError::Denied {
            address,
            rule: "loopback".to_string(),
        };
        assert_eq!(renew(&mut resolved, Err(denied)), Some(Vec::new()));
    }

    #[test]
    fn only_other_addresses_are_news() {
        let mut resolved = known();
        assert_eq!(
            renew(&mut resolved, Ok(vec![addr("192.0.2.2:1")])),
            Some(vec![addr("192.0.2.2:1")])
        );
    }
}
