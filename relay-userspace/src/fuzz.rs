//! Doors for fuzz targets and their replay into parsers that nothing else outside has a use for. No part of the API.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use hyper::Request;
use hyper::header::{HeaderName, HeaderValue};
use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;

use crate::config::fault::Faults;
use crate::config::{Settings, file, show, validate};
use crate::doctor::read::{genetlink, iptables, nftables, sockets};
use crate::fastpath::{netlink, next_hop};
use crate::icmp::IcmpError;
use crate::net::icmp::raw;
use crate::net::message::control;
use crate::web::{hygiene, target};

pub use control::{Control, Heard};

/// A configuration file: as `relay config show` prints it, or its faults as they are printed.
pub fn config(text: &str) -> Result<String, String> {
    let mut faults = Faults::default();
    let raw = file::read(Path::new("relay.toml"), text, &mut faults);
    let (config, log) = validate::validate(raw, &mut faults);
    if !faults.is_empty() {
        faults.sort();
        return Err(faults.to_string());
    }
    let settings = Settings {
        config,
        log,
        file: None,
        files: Vec::new(),
        warnings: Vec::new(),
    };
    assert!(show::json(&settings).is_object());
    Ok(show::toml(&settings).to_string())
}

/// A message of rtnetlink, as far as `next_hop` would be told of it. True if it means something there.
pub fn netlink(bytes: &[u8]) -> bool {
    let Ok(message) = NetlinkMessage::<RouteNetlinkMessage>::deserialize(bytes) else {
        return false;
    };
    let unspecified = [0, 0, 0, 0].into();
    let key = next_hop::RouteKey {
        remote: unspecified,
        local: unspecified,
    };
    match message.payload {
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewLink(link)) => {
            netlink::link(&link).is_some()
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewNeighbour(neighbour)) => {
            netlink::neighbour(&neighbour).is_some()
        }
        NetlinkPayload::InnerMessage(RouteNetlinkMessage::NewRoute(route)) => {
            matches!(netlink::route(key, &route), next_hop::Route::Via { .. })
        }
        _ => false,
    }
}

/// Attributes of generic netlink: how many, and the bytes of their values.
pub fn attributes(bytes: &[u8]) -> (usize, usize) {
    genetlink::attributes(bytes).fold((0, 0), |(count, length), (_, value)| {
        (count + 1, length + value.len())
    })
}

/// What `nft`, `iptables-save` and /proc/net/udp print. How many things were understood.
pub fn firewall(text: &str) -> [usize; 3] {
    [
        nftables::parse(text).map_or(0, |chains| chains.len()),
        iptables::parse("iptables", text).len(),
        sockets::parse(text, None).len(),
    ]
}

/// What of a request of HTTP/1.1 goes on.
pub struct Forwarded {
    /// Chooses the route.
    pub host: String,
    /// In the most lenient reading.
    pub path: String,
    /// That the origin sees.
    pub fields: Vec<(String, Vec<u8>)>,
}

/// `None`: it is refused, or no request.
pub fn forwarded<'a>(
    uri: &[u8],
    fields: impl Iterator<Item = (&'a [u8], &'a [u8])>,
    client: IpAddr,
) -> Option<Forwarded> {
    let request = fields.fold(Request::builder().uri(uri), |request, (name, value)| {
        request.header(name, value)
    });
    let mut parts = request.body(()).ok()?.into_parts().0;
    let target = target::read(&parts).ok()?;
    let client = hygiene::Client {
        address: client,
        secure: true,
        authority: target.authority.as_str(),
        trusted: false,
    };
    hygiene::for_origin(&mut parts.headers, client);
    hygiene::one_length(&mut parts.headers, Some(0));
    let path = target.lenient;
    let fields = parts.headers.iter();
    let text = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    Some(Forwarded {
        host: target.host,
        path: path.unwrap_or_else(|| parts.uri.path().to_owned()),
        fields: fields.map(text).collect(),
    })
}

/// The ICMP message for a client that sent to `server`.
pub fn icmp(client: SocketAddr, server: SocketAddr, error: IcmpError) -> Vec<u8> {
    let mut out = [0; raw::LONGEST];
    let length = raw::write(client, server, error, &mut out);
    out[..length].to_vec()
}
