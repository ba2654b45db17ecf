//! Doors for fuzz targets and their replay into parsers that nothing else outside has a use for. No part of the API.

use std::net::SocketAddr;
use std::path::Path;

use rtnetlink::packet_core::{NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::RouteNetlinkMessage;

use crate::config::fault::Faults;
use crate::config::{Settings, file, show, validate};
use crate::doctor::read::{genetlink, iptables, nftables, sockets};
use crate::fastpath::{netlink, next_hop};
use crate::icmp::IcmpError;
use crate::net::icmp::raw;
use crate::net::message::control;

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

/// The ICMP message for a client that sent to `server`.
pub fn icmp(client: SocketAddr, server: SocketAddr, error: IcmpError) -> Vec<u8> {
    let mut out = [0; raw::LONGEST];
    let length = raw::write(client, server, error, &mut out);
    out[..length].to_vec()
}
