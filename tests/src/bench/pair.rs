//! Two namespaces and a veth pair between them: who generates, and who relays. Nothing is attached to it.

use anyhow::Result;

use super::veth::{OUTER, RELAY};
use crate::netns::NetNs;

pub struct Pair {
    pub outer: NetNs,
    pub inner: NetNs,
    /// Card of the generator's side; named like no other, since a card's NAPI thread is found by its name.
    pub outer_card: String,
    pub inner_card: String,
}

impl Pair {
    /// Up, and reachable under `OUTER` and `RELAY`.
    pub fn new() -> Result<Pair> {
        let unique = std::process::id() % 1_000_000;
        let pair = Pair {
            outer: NetNs::new("gen")?,
            inner: NetNs::new("dut")?,
            outer_card: format!("gen{unique}"),
            inner_card: format!("dut{unique}"),
        };
        let (outer, inner) = (&pair.outer, &pair.inner);
        let (near, far) = (pair.outer_card.as_str(), pair.inner_card.as_str());
        let kind = ["type", "veth", "peer", "name", far, "netns", inner.name()];
        let add = [&["link", "add", near][..], &kind].concat();
        outer.ip(&add)?;
        for (namespace, card, address) in [(outer, near, OUTER), (inner, far, RELAY)] {
            namespace.ip(&["addr", "add", &format!("{address}/24"), "dev", card])?;
            namespace.ip(&["link", "set", card, "up"])?;
        }
        Ok(pair)
    }
}
