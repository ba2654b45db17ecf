//! Time-limited credentials as the `iceServers` a browser takes. Pure: credentials, name and clock come from the caller.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::advertise::outside;
use crate::api::{IceServer, Status};
use crate::credentials::Credentials;

/// Who asks for what, and when.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub user: &'a str,
    pub ttl: Duration,
    pub unix_now: u64,
}

/// Where clients reach the relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// An address or a name.
    pub host: String,
    pub udp: Option<u16>,
    pub tcp: Option<u16>,
    pub tls: Vec<u16>,
}

impl Reach {
    /// One port of each: what UDP and TCP listen on first, and every one of TLS.
    pub fn of(host: String, udp: &[SocketAddr], tcp: &[SocketAddr], tls: &[SocketAddr]) -> Reach {
        let mut tls: Vec<_> = tls.iter().map(SocketAddr::port).collect();
        tls.sort_unstable();
        tls.dedup();
        Reach {
            host,
            udp: udp.first().map(SocketAddr::port),
            tcp: tcp.first().map(SocketAddr::port),
            tls,
        }
    }

    /// As somebody says who knows better, a port translation for example.
    pub fn but(self, host: Option<String>, port: Option<u16>) -> Reach {
        Reach {
            host: host.unwrap_or(self.host),
            udp: self.udp.map(|own| port.unwrap_or(own)),
            tcp: self.tcp.map(|own| port.unwrap_or(own)),
            tls: self.tls,
        }
    }

    fn urls(&self) -> Vec<String> {
        let host = match self.host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        let udp = self.udp.iter().map(|port| ("turn", port, "udp"));
        let tcp = self.tcp.iter().map(|port| ("turn", port, "tcp"));
        let tls = self.tls.iter().map(|port| ("turns", port, "tcp"));
        udp.chain(tcp)
            .chain(tls)
            .map(|(scheme, port, transport)| {
                format!("{scheme}:{host}:{port}?transport={transport}")
            })
            .collect()
    }
}

/// `None`: no shared secret is configured.
pub fn servers(credentials: &Credentials, wish: Wish<'_>, reach: &Reach) -> Option<Vec<IceServer>> {
    let (username, credential) = credentials.mint(wish.user, wish.ttl, wish.unix_now)?;
    Some(vec![IceServer {
        urls: reach.urls(),
        username,
        credential,
    }])
}

/// Where clients most likely reach this relay.
pub fn advertised(status: &Status) -> Reach {
    let all = [&status.listen, &status.listen_tcp, &status.listen_tls];
    let concrete = |address: &&SocketAddr| !address.ip().is_unspecified();
    let address = all
        .into_iter()
        .flatten()
        .find(concrete)
        .map(SocketAddr::ip)
        .or_else(|| status.advertised.first().map(|pair| pair.local))
        .or_else(|| status.relay_addresses.first().copied())
        .or_else(default_route_address);
    let address = address.map(|a| outside(a, &status.advertised));
    let host = address.map_or("localhost".to_owned(), |a| a.to_string());
    let [udp, tcp, tls] = all;
    Reach::of(host, udp, tcp, tls)
}

/// The source address packets to the internet would have. Connecting a UDP socket sends nothing.
pub fn default_route_address() -> Option<IpAddr> {
    let probe = |bind: &str, to: &str| {
        let socket = UdpSocket::bind(bind).ok()?;
        socket.connect(to).ok()?;
        Some(socket.local_addr().ok()?.ip())
    };
    // Documentation addresses (RFC 5737, RFC 3849): routed like any other, owned by nobody.
    probe("0.0.0.0:0", "192.0.2.1:9").or_else(|| probe("[::]:0", "[2001:db8::1]:9"))
}
