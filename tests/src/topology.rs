//! Client side — edge host — server side: three namespaces and the links between them.

pub mod one_armed;

use anyhow::{Context, Result};
use aya::EbpfLoader;
use aya::programs::{Xdp, XdpMode};

use crate::netns::NetNs;
use crate::privileged;

/// A lab of two links. The edge relays; the others route everything through it.
pub struct Topology {
    pub client: NetNs,
    pub edge: NetNs,
    pub server: NetNs,
    /// Programs on the outer ends of the links: without one, veth delivers nothing the edge transmits.
    _pass: Vec<aya::Ebpf>,
}

/// Names of the edge's cards.
pub const CLIENT_CARD: &str = "to-client";
pub const SERVER_CARD: &str = "to-server";

/// Addresses, all in ranges that the relay refuses as peers unless told otherwise.
pub const CLIENT_V4: &str = "10.71.1.2";
pub const EDGE_V4: &str = "10.71.1.1";
pub const EDGE_SERVER_V4: &str = "10.71.2.1";
pub const SERVER_V4: &str = "10.71.2.2";
pub const CLIENT_V6: &str = "fd71:1::2";
pub const EDGE_V6: &str = "fd71:1::1";
pub const EDGE_SERVER_V6: &str = "fd71:2::1";
pub const SERVER_V6: &str = "fd71:2::2";
/// What `--allow-peer` must open.
pub const LAB_NETWORKS: [&str; 2] = ["10.71.0.0/16", "fd71::/16"];

impl Topology {
    /// Everything up and reachable, neighbours not resolved yet.
    pub fn new() -> Result<Self> {
        crate::residue::sweep();
        let (client, edge, server) = (
            NetNs::new("client")?,
            NetNs::new("edge")?,
            NetNs::new("server")?,
        );
        link(
            &client,
            &edge,
            CLIENT_CARD,
            [CLIENT_V4, CLIENT_V6],
            [EDGE_V4, EDGE_V6],
        )?;
        link_server(&server, &edge)?;
        let pass = [&client, &server]
            .into_iter()
            .map(|n| attach(n, OUTER_CARD, "pass"))
            .collect::<Result<_>>()?;
        Ok(Self {
            client,
            edge,
            server,
            _pass: pass,
        })
    }

    /// Makes the server's link anew, after it was deleted. Nothing is attached to its outer end.
    pub fn link_server(&self) -> Result<()> {
        link_server(&self.server, &self.edge)
    }
}

pub(crate) fn link_server(server: &NetNs, edge: &NetNs) -> Result<()> {
    link(
        server,
        edge,
        SERVER_CARD,
        [SERVER_V4, SERVER_V6],
        [EDGE_SERVER_V4, EDGE_SERVER_V6],
    )
}

/// Name of the card of the client and of the server.
pub const OUTER_CARD: &str = "eth0";

/// `outer`'s first card to `edge`'s card of this name, and its default route.
pub(crate) fn link(
    outer: &NetNs,
    edge: &NetNs,
    card: &str,
    outer_ips: [&str; 2],
    edge_ips: [&str; 2],
) -> Result<()> {
    outer.ip(&[
        "link",
        "add",
        OUTER_CARD,
        "type",
        "veth",
        "peer",
        "name",
        card,
        "netns",
        edge.name(),
    ])?;
    address(outer, OUTER_CARD, outer_ips)?;
    address(edge, card, edge_ips)?;
    outer.ip(&["route", "add", "default", "via", edge_ips[0]])?;
    outer.ip(&["-6", "route", "add", "default", "via", edge_ips[1]])
}

/// Up, with an address of each family.
fn address(namespace: &NetNs, card: &str, ips: [&str; 2]) -> Result<()> {
    namespace.ip(&["addr", "add", &format!("{}/24", ips[0]), "dev", card])?;
    namespace.ip(&[
        "addr",
        "add",
        &format!("{}/64", ips[1]),
        "dev",
        card,
        "nodad",
    ])?;
    namespace.ip(&["link", "set", card, "up"])?;
    // With transmit offload on, socket senders leave half-made checksums that only userspace can complete.
    namespace
        .run("ethtool", &["-K", card, "tx", "off"])
        .map(drop)
}

/// Attaches a program of the lab object natively; it stays while the returned value lives.
pub fn attach(namespace: &NetNs, card: &str, program: &str) -> Result<aya::Ebpf> {
    let object = privileged::object("lab-xdp.o").context("the lab's XDP object")?;
    namespace.enter(move || {
        let mut ebpf = EbpfLoader::new().load(&object)?;
        let xdp: &mut Xdp = ebpf
            .program_mut(program)
            .with_context(|| format!("program {program}"))?
            .try_into()?;
        xdp.load()?;
        xdp.attach(card, XdpMode::Driver)
            .with_context(|| format!("attach {program} to {card}"))?;
        Ok(ebpf)
    })
}
