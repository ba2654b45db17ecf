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

#[cfg(test)]
mod tests {
    use super::*;

    fn server(address: &str, domain: Option<&str>) -> Alternate {
        let (tls, address) = match address.strip_prefix("tls/") {
            Some(address) => (true, address),
            None => (false, address),
        };
        Alternate {
            address: address.parse().unwrap(),
            tls,
            domain: domain.map(str::to_owned),
        }
    }

    fn from(client: &str, transport: Transport) -> FiveTuple {
        FiveTuple {
            client: client.parse().unwrap(),
            server: client.parse().unwrap(),
            transport,
        }
    }

    fn sent(all: &[Alternate], from: FiveTuple, turn: u64) -> Vec<String> {
        let redirect = redirect(all, from, turn);
        let servers = redirect.map(|one| one.servers).unwrap_or_default();
        servers.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_client_is_sent_to_its_own_family_and_transport_first() {
        let all = [
            server("[2001:db8::7]:3478", None),
            server("192.0.2.7:3478", None),
            server("tls/192.0.2.8:443", None),
        ];
        let (v4, v6) = ("198.51.100.1:1", "[2001:db8::1]:1");
        for transport in [Transport::Udp, Transport::Tcp] {
            let of_v4 = ["192.0.2.7:3478", "[2001:db8::7]:3478"];
            assert_eq!(sent(&all, from(v4, transport), 0), of_v4);
            let of_v6 = ["[2001:db8::7]:3478", "192.0.2.7:3478"];
            assert_eq!(sent(&all, from(v6, transport), 0), of_v6);
        }
        assert_eq!(sent(&all, from(v4, Transport::Tls), 0), ["192.0.2.8:443"]);
        assert!(sent(&all, from(v6, Transport::Tls), 0).is_empty());
        assert!(sent(&[], from(v4, Transport::Udp), 0).is_empty());
    }

    #[test]
    fn several_servers_take_turns_and_a_name_holds_for_all_that_are_named() {
        let name = Some("turn.example");
        let all = [
            server("tls/192.0.2.7:443", name),
            server("tls/192.0.2.8:443", None),
            server("tls/[2001:db8::7]:443", name),
        ];
        let client = from("198.51.100.1:1", Transport::Tls);
        let both = ["192.0.2.7:443", "[2001:db8::7]:443"];
        for (turn, expected) in [(0, &both[..]), (1, &["192.0.2.8:443"]), (2, &both)] {
            assert_eq!(sent(&all, client, turn), expected, "{turn}");
        }
        let named = redirect(&all, client, 0).unwrap();
        assert_eq!(named.domain.as_deref(), name);
    }
}
