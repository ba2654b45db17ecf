//! Offloads that break XDP: frames that arrive merged, tags that arrive beside the frame, checksums never computed.

use super::super::facts::Card;
use super::Finding;

/// ethtool's name, its short one, and what it does to XDP.
const MERGING: [(&str, &str, &str); 3] = [
    (
        "rx-lro",
        "lro",
        "merges packets in hardware: native XDP is refused, or sees what was never sent",
    ),
    (
        "rx-gro-hw",
        "rx-gro-hw",
        "merges packets in hardware: drivers refuse native XDP or switch it off",
    ),
    (
        "rx-vlan-hw-parse",
        "rxvlan",
        "takes VLAN tags out of the frame: XDP cannot see them",
    ),
];
/// Cards whose senders sit on this host and hand over packets by memory.
const SAME_HOST: [&str; 3] = ["veth", "tun", "netkit"];

pub fn check(cards: &[Card]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for card in cards.iter().filter(|card| card.exists) {
        let same_host = card
            .driver
            .as_deref()
            .filter(|driver| SAME_HOST.contains(driver));
        if let Some(kind) = same_host {
            findings.push(partial_checksums(card, kind));
        }
        let Some(features) = &card.features else {
            let remedy = format!("look yourself: ethtool -k {}", card.name);
            findings.push(Finding::warn(
                "offloads",
                &card.name,
                "cannot be read",
                remedy,
            ));
            continue;
        };
        let on = |name: &str| features.iter().any(|feature| feature == name);
        let vlan_of_no_harm = |name: &str| name == "rx-vlan-hw-parse" && same_host.is_some();
        let mut bad = MERGING
            .iter()
            .filter(|(name, ..)| on(name) && !vlan_of_no_harm(name))
            .peekable();
        if bad.peek().is_none() {
            findings.push(Finding::ok("offloads", &card.name, "none that breaks XDP"));
        }
        findings.extend(bad.map(|(name, short, why)| {
            let remedy = format!("ethtool -K {} {short} off", card.name);
            Finding::warn("offloads", &card.name, format!("{name} {why}"), remedy)
        }));
    }
    findings
}

fn partial_checksums(card: &Card, kind: &str) -> Finding {
    Finding::warn(
        "checksums",
        &card.name,
        format!(
            "{kind}: senders behind it leave UDP checksums to hardware that is not there; in native mode the kernel path computes them, which reads the whole packet, in generic mode such packets are relayed in userspace (`partial_checksum`)"
        ),
        "in the container or guest: ethtool -K CARD tx off",
    )
}
