//! Where the relay is, and where it sends its clients instead (RFC 8489 §10): each place once, and only so many.

use std::net::SocketAddr;

use crate::client::secure::SecureServer;
use crate::mode::Leg;

/// Sent on more often than that, nobody wants this client.
const MOST: usize = 3;

#[derive(Debug)]
pub(super) struct Servers {
    pub udp: SocketAddr,
    pub secure: SecureServer,
    /// Those that sent it on.
    left: Vec<(Leg, SocketAddr)>,
}

impl Servers {
    pub fn new(udp: SocketAddr, secure: SecureServer) -> Self {
        Self {
            udp,
            secure,
            left: Vec::new(),
        }
    }

    /// Both legs lead to the first of `alternates` that was not asked before: the ticket of one relay is nothing to another.
    /// The port of the leg that was not spoken of stays. False: there is none.
    pub fn follow(&mut self, leg: Leg, alternates: &[SocketAddr]) -> bool {
        self.left.push((leg, self.address(leg)));
        let here = self.address(leg);
        let new = |to: &&SocketAddr| {
            let usable = to.port() != 0 && !to.ip().is_unspecified() && !to.ip().is_multicast();
            let same_family = to.is_ipv4() == here.is_ipv4();
            usable && same_family && !self.left.contains(&(leg, **to))
        };
        let next = alternates.iter().find(new).copied();
        let Some(next) = next.filter(|_| self.left.len() <= MOST) else {
            return false;
        };
        self.udp.set_ip(next.ip());
        self.secure.address.set_ip(next.ip());
        match leg {
            Leg::Udp => self.udp = next,
            Leg::Tcp => self.secure.address = next,
        }
        true
    }

    fn address(&self, leg: Leg) -> SocketAddr {
        match leg {
            Leg::Udp => self.udp,
            Leg::Tcp => self.secure.address,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::crypto::ring::default_provider;
    use rustls::{ClientConfig, RootCertStore};

    use super::*;

    fn servers() -> Servers {
        let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let secure = SecureServer {
            address: at("192.0.2.1:443"),
            name: "relay.test".try_into().unwrap(),
            tls: Arc::new(tls),
        };
        Servers::new(at("192.0.2.1:3478"), secure)
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn both_legs_go_to_another_relay_and_the_port_of_the_one_spoken_of_is_its_own() {
        let mut servers = servers();
        assert!(servers.follow(Leg::Udp, &[at("[2001:db8::1]:1"), at("192.0.2.2:5000")]));
        assert_eq!(servers.udp, at("192.0.2.2:5000"));
        assert_eq!(servers.secure.address, at("192.0.2.2:443"));
    }

    #[test]
    fn nobody_is_sent_in_a_circle_or_on_for_ever() {
        let mut circle = servers();
        assert!(circle.follow(Leg::Udp, &[at("192.0.2.2:3478")]));
        assert!(!circle.follow(Leg::Udp, &[at("192.0.2.1:3478")]));
        let mut chain = servers();
        let followed =
            (2..9).filter(|n| chain.follow(Leg::Udp, &[at(&format!("192.0.2.{n}:3478"))]));
        assert_eq!(followed.count(), MOST);
        assert!(!servers().follow(Leg::Tcp, &[at("0.0.0.0:443"), at("192.0.2.9:0")]));
    }
}
