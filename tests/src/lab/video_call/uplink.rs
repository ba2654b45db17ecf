//! The caller's network: a host behind a router of its own, whose firewall can be told to drop UDP.

use anyhow::Result;

use crate::netns::NetNs;
use crate::topology::{OUTER_CARD, attach, link};

/// The edge's card towards the router.
pub const CARD: &str = "to-caller";
/// Cards of the router.
const INSIDE: &str = "inside";

const CALLER: [&str; 2] = ["10.71.3.2", "fd71:3::2"];
const ROUTER_INSIDE: [&str; 2] = ["10.71.3.1", "fd71:3::1"];
const ROUTER: [&str; 2] = ["10.71.4.2", "fd71:4::2"];
/// Where the caller reaches the relay.
pub(super) const EDGE: [&str; 2] = ["10.71.4.1", "fd71:4::1"];
const CALLERS: &str = "10.71.3.0/24";

const FORWARDING: &str = "echo 1 > /proc/sys/net/ipv4/ip_forward";
const FIREWALL: &str =
    "add table inet router; add chain inet router forward { type filter hook forward priority 0; }";
const DROP_UDP: &str = "add rule inet router forward meta l4proto udp drop";
const PASS_UDP: &str = "flush chain inet router forward";

/// caller - router - edge
pub struct Uplink {
    pub caller: NetNs,
    router: NetNs,
    /// Without a program here, veth delivers nothing that the edge transmits.
    _pass: aya::Ebpf,
}

impl Uplink {
    pub fn new(edge: &NetNs) -> Result<Self> {
        let (caller, router) = (NetNs::new("caller")?, NetNs::new("router")?);
        link(&router, edge, CARD, ROUTER, EDGE)?;
        link(&caller, &router, INSIDE, CALLER, ROUTER_INSIDE)?;
        edge.ip(&["route", "add", CALLERS, "via", ROUTER[0]])?;
        router.run("sh", &["-c", FORWARDING])?;
        router.run("nft", &[FIREWALL])?;
        let pass = attach(&router, OUTER_CARD, "pass")?;
        Ok(Self {
            caller,
            router,
            _pass: pass,
        })
    }

    /// In both directions, without a word to anybody. Says how it is done.
    pub fn block_udp(&self) -> Result<String> {
        self.firewall(DROP_UDP)
    }

    /// As at the start. Says how it is done.
    pub fn pass_udp(&self) -> Result<String> {
        self.firewall(PASS_UDP)
    }

    fn firewall(&self, change: &str) -> Result<String> {
        self.router.run("nft", &[change])?;
        Ok(format!("ip netns exec {} nft {change}", self.router.name()))
    }

    /// For a person who wants to see for herself.
    pub fn hint(&self) -> String {
        let router = self.router.name();
        format!("ip netns exec {router} nft monitor")
    }
}
