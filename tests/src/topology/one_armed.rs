//! An edge with one card: client and server are on the same segment, so every relayed packet leaves where it came in.

use anyhow::Result;

use super::{CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, OUTER_CARD, address, attach};
use crate::netns::NetNs;

/// The server's addresses on the shared segment.
pub const SERVER_V4: &str = "10.71.1.3";
pub const SERVER_V6: &str = "fd71:1::3";
/// The edge's only card.
pub const CARD: &str = OUTER_CARD;

/// Three hosts on a switch. Neighbours are not resolved yet.
pub struct OneArmed {
    pub client: NetNs,
    pub edge: NetNs,
    pub server: NetNs,
    /// The program on the switch's port of the edge, without which veth would deliver nothing the edge transmits.
    _pass: aya::Ebpf,
    switch: NetNs,
}

impl OneArmed {
    pub fn new() -> Result<Self> {
        crate::residue::sweep();
        let switch = NetNs::new("switch")?;
        switch.ip(&["link", "add", "bridge", "type", "bridge"])?;
        switch.ip(&["link", "set", "bridge", "up"])?;
        let client = host(&switch, "client", [CLIENT_V4, CLIENT_V6])?;
        let edge = host(&switch, "edge", [EDGE_V4, EDGE_V6])?;
        let server = host(&switch, "server", [SERVER_V4, SERVER_V6])?;
        let pass = attach(&switch, "edge", "pass")?;
        Ok(Self {
            client,
            edge,
            server,
            _pass: pass,
            switch,
        })
    }

    /// One more host on the switch; its card is called [`CARD`] as well.
    pub fn join(&self, port: &str, ips: [&str; 2]) -> Result<NetNs> {
        host(&self.switch, port, ips)
    }
}

/// A host called `port` on the switch's port of that name.
fn host(switch: &NetNs, port: &str, ips: [&str; 2]) -> Result<NetNs> {
    let host = NetNs::new(port)?;
    host.ip(&[
        "link",
        "add",
        OUTER_CARD,
        "type",
        "veth",
        "peer",
        "name",
        port,
        "netns",
        switch.name(),
    ])?;
    switch.ip(&["link", "set", port, "master", "bridge", "up"])?;
    address(&host, OUTER_CARD, ips)?;
    Ok(host)
}
