//! The addresses of this host, as last heard, and which transport addresses on them are relayed ones. Judges nothing.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{PoisonError, RwLock};

/// Whether a client of the relay has this transport address now.
type IsRelayed = Box<dyn Fn(SocketAddr) -> bool + Send + Sync>;

#[derive(Debug, Clone, Copy)]
pub(super) enum Protocol {
    Udp,
    Tcp,
}

#[derive(Default)]
pub(super) struct Own {
    host: RwLock<Vec<IpAddr>>,
    /// At most one a family: the only one of it that is relayed on.
    configured: Vec<IpAddr>,
    is_relayed: Option<IsRelayed>,
    is_stream: Option<IsRelayed>,
}

impl Own {
    pub fn set_host(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses = addresses.into_iter().collect();
        *self.host.write().unwrap_or_else(PoisonError::into_inner) = addresses;
    }

    pub fn set_relayed(&mut self, configured: Vec<IpAddr>, is_relayed: IsRelayed) {
        self.configured = configured;
        self.is_relayed = Some(is_relayed);
    }

    pub fn set_streams(&mut self, is_stream: IsRelayed) {
        self.is_stream = Some(is_stream);
    }

    pub fn has(&self, address: IpAddr) -> bool {
        let host = self.host.read().unwrap_or_else(PoisonError::into_inner);
        host.contains(&address) || self.configured.contains(&address)
    }

    /// Whether `address` is a relayed one, or could be where there is no port.
    pub fn relays(&self, address: IpAddr, port: Option<u16>, protocol: Protocol) -> bool {
        let of_family = |one: &&IpAddr| one.is_ipv4() == address.is_ipv4();
        let may = match self.configured.iter().find(of_family) {
            Some(configured) => *configured == address,
            // Loopback is one only where the operator says so.
            None => !address.is_loopback() && self.has(address),
        };
        let is_relayed = match protocol {
            Protocol::Udp => &self.is_relayed,
            Protocol::Tcp => &self.is_stream,
        };
        let is_relayed = is_relayed.as_ref().filter(|_| may);
        is_relayed.is_some_and(|is_relayed| {
            port.is_none_or(|port| is_relayed(SocketAddr::new(address, port)))
        })
    }
}

impl fmt::Debug for Own {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Own")
            .field("host", &self.host)
            .field("configured", &self.configured)
            .finish_non_exhaustive()
    }
}
