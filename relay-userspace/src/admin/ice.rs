//! Time-limited credentials as the `iceServers` a browser takes. Pure: credentials, name and clock come from the caller.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::advertise::outside;
use crate::api::{IceServer, Status};
use crate::config::defaults;
use crate::credentials::Credentials;

/// Who asks for what, and when.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    pub user: &'a str,
    pub ttl: Duration,
    pub unix_now: u64,
}

/// `None`: no shared secret is configured.
pub fn servers(
    credentials: &Credentials,
    wish: Wish<'_>,
    host: &str,
    port: u16,
) -> Option<Vec<IceServer>> {
    let (username, credential) = credentials.mint(wish.user, wish.ttl, wish.unix_now)?;
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    };
    Some(vec![IceServer {
        urls: vec![format!("turn:{host}:{port}?transport=udp")],
        username,
        credential,
    }])
}

/// The host and port clients most likely reach this relay at.
pub fn advertised(status: &Status) -> (String, u16) {
    let concrete = |address: &&SocketAddr| !address.ip().is_unspecified();
    let listen = status
        .listen
        .iter()
        .find(concrete)
        .or(status.listen.first());
    let port = listen.map_or(defaults::TURN_PORT, SocketAddr::port);
    let address = listen
        .filter(concrete)
        .map(SocketAddr::ip)
        .or_else(|| status.advertised.first().map(|pair| pair.local))
        .or_else(|| status.relay_addresses.first().copied())
        .or_else(default_route_address);
    let address = address.map(|a| outside(a, &status.advertised));
    (
        address.map_or("localhost".to_owned(), |a| a.to_string()),
        port,
    )
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
