//! What the links themselves dropped: no fault of the relay's.

use anyhow::Result;

use crate::topology::Topology;

/// Frames that no card of client, edge or server took or gave.
pub fn dropped(topology: &Topology) -> Result<u64> {
    let spaces = [&topology.client, &topology.edge, &topology.server];
    let mut dropped = 0;
    for space in spaces {
        let links: serde_json::Value =
            serde_json::from_str(&space.run("ip", &["-s", "-j", "link"])?)?;
        for link in links.as_array().into_iter().flatten() {
            let of = |way: &str| link["stats64"][way]["dropped"].as_u64().unwrap_or(0);
            dropped += of("rx") + of("tx");
        }
    }
    Ok(dropped)
}
