//! Which addresses may be peers or destinations: public unicast, plus what the operator allows, minus what they deny.
//! Judges every spelling of an address; never resolves names, and knows no packets.

mod builtin;
mod faces;
mod listeners;
mod own;
mod refusal;

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use crate::advertise::Advertise;
use crate::config::Peers;
use listeners::Listeners;
pub use listeners::Shielded;
use own::{Own, Protocol};
pub use refusal::{Refusal, Rule};

#[derive(Debug, Default)]
pub struct PeerPolicy {
    allow: Vec<IpNet>,
    deny: Vec<IpNet>,
    listeners: Listeners,
    own: Own,
    advertise: Advertise,
}

impl PeerPolicy {
    pub fn new(peers: &Peers) -> Self {
        Self {
            allow: peers.allow.clone(),
            deny: peers.deny.clone(),
            ..Self::default()
        }
    }

    /// The relay's listening and admin addresses: nothing ever reaches them. A wildcard stands for every own address.
    pub fn with_listeners(self, listeners: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.listeners.extend(listeners);
        self
    }

    /// The same for one that opens while the relay runs, for as long as it is open.
    pub fn shield(&self, listener: SocketAddr) -> Shielded {
        self.listeners.shield(listener)
    }

    /// Addresses of this host: denied, but for relayed transport addresses, unless allowed.
    pub fn with_own_addresses(self, addresses: impl IntoIterator<Item = IpAddr>) -> Self {
        self.set_own_addresses(addresses);
        self
    }

    /// The host has these addresses now, and no others.
    pub fn set_own_addresses(&self, addresses: impl IntoIterator<Item = IpAddr>) {
        self.own.set_host(addresses);
    }

    /// Relayed transport addresses, which clients of this relay may always reach: on the configured address of a family,
    /// else on any of the host. `is_one` says which are, now: other programs listen in the same range of ports.
    pub fn with_relayed(
        mut self,
        configured: impl IntoIterator<Item = IpAddr>,
        is_one: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.own
            .set_relayed(configured.into_iter().collect(), Box::new(is_one));
        self
    }

    /// The same for TCP: whoever relays UDP by a port leaves that number of TCP to other programs.
    pub fn with_relayed_streams(
        mut self,
        is_one: impl Fn(SocketAddr) -> bool + Send + Sync + 'static,
    ) -> Self {
        self.own.set_streams(Box::new(is_one));
        self
    }

    /// Public addresses a 1:1 NAT gives local ones: judged as both.
    pub fn with_advertised(mut self, advertise: Advertise) -> Self {
        self.advertise = advertise;
        self
    }

    /// Whether `peer` may be reached by UDP.
    pub fn check(&self, peer: SocketAddr) -> Result<(), Refusal> {
        self.check_port(peer, Protocol::Udp)
    }

    /// Whether `peer` may be connected to by TCP.
    pub fn check_stream(&self, peer: SocketAddr) -> Result<(), Refusal> {
        self.check_port(peer, Protocol::Tcp)
    }

    /// Whether some port of `peer` may be reached: a permission names no port (RFC 8656 §9).
    pub fn check_address(&self, peer: IpAddr) -> Result<(), Refusal> {
        self.judge(SocketAddr::new(peer, 0), None, Protocol::Udp)
    }

    fn check_port(&self, peer: SocketAddr, protocol: Protocol) -> Result<(), Refusal> {
        if peer.port() == 0 {
            return Err(Refusal::new(peer, peer.ip(), Rule::PortZero));
        }
        self.judge(peer, Some(peer.port()), protocol)
    }

    fn judge(
        &self,
        peer: SocketAddr,
        port: Option<u16>,
        protocol: Protocol,
    ) -> Result<(), Refusal> {
        let faces = faces::of(peer.ip(), &self.advertise);
        for face in faces.iter() {
            self.never(face, port)
                .map_or(Ok(()), |rule| Err(Refusal::new(peer, face, rule)))?;
        }
        let inside = self.advertise.inward(peer).ip();
        if self.own.relays(inside, port, protocol) {
            return Ok(());
        }
        for face in faces.iter() {
            if self.allow.iter().any(|net| net.contains(&face)) {
                continue;
            }
            if self.own.has(face) {
                return Err(Refusal::new(peer, face, Rule::OwnAddress));
            }
            if let Some(range) = builtin::covering(face) {
                return Err(Refusal::new(peer, face, Rule::BuiltIn(range)));
            }
        }
        Ok(())
    }

    /// Rules no allow list overrides.
    fn never(&self, face: IpAddr, port: Option<u16>) -> Option<Rule> {
        if let Some(net) = self.deny.iter().find(|net| net.contains(&face)) {
            return Some(Rule::Denied(*net));
        }
        if let Some(range) = builtin::never(face) {
            return Some(Rule::BuiltIn(range));
        }
        let port = port?;
        let listener = self.listeners.find(|listener| {
            let wildcard =
                listener.ip().is_unspecified() && (face.is_loopback() || self.own.has(face));
            listener.port() == port && (listener.ip() == face || wildcard)
        });
        listener.map(Rule::OwnListener)
    }
}

#[cfg(test)]
mod tests;
