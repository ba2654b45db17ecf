//! Other servers, and which of them fits a client that must go (RFC 8489 §10). Data only.

use std::net::SocketAddr;

use super::identity::{FiveTuple, Transport};

/// A server clients may be sent to: by UDP and TCP, or by TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alternate {
    pub address: SocketAddr,
    pub tls: bool,
    /// The name in its certificate, where that is not one of ours.
    pub domain: Option<String>,
}

impl std::fmt::Display for Alternate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let tls = if self.tls { "tls/" } else { "" };
        write!(f, "{tls}{}", self.address)?;
        match &self.domain {
            Some(domain) => write!(f, "={domain}"),
            None => Ok(()),
        }
    }
}

/// What an error 300 says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirect {
    /// Of the client's family first, then maybe one of the other.
    pub servers: Vec<SocketAddr>,
    pub domain: Option<String>,
}

/// Where to send the client at `from`, one server after the other as `turn` grows. `None`: no server is known that speaks
/// its transport in its family, which the first one must.
pub(super) fn redirect(all: &[Alternate], from: FiveTuple, turn: u64) -> Option<Redirect> {
    let tls = from.transport == Transport::Tls;
    let is_v4 = from.client.ip().to_canonical().is_ipv4();
    let choose = |v4: bool| {
        let fits = |one: &&Alternate| one.tls == tls && one.address.is_ipv4() == v4;
        let count = all.iter().filter(fits).count() as u64;
        let index = turn.checked_rem(count)?;
        all.iter().filter(fits).nth(index as usize)
    };
    let first = choose(is_v4)?;
    let second = choose(!is_v4);
    // One name goes for both: the other server must have it as well.
    let second = second.filter(|second| second.domain == first.domain);
    let servers = std::iter::once(first).chain(second);
    Some(Redirect {
        servers: servers.map(|one| one.address).collect(),
        domain: first.domain.clone(),
    })
}
