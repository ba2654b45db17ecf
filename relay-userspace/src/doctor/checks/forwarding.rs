//! Forwarding by the host: the relay does not need it, but it changes what the host does with routes and packets.

use super::super::facts::{Card, Forwarding};
use super::Finding;

pub fn check(forwarding: &Forwarding, cards: &[Card]) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(forwarding.v4.map(|on| of_family("net.ipv4.ip_forward", on)));
    findings.extend(
        forwarding
            .v6
            .map(|on| of_family("net.ipv6.conf.all.forwarding", on)),
    );
    if forwarding.v6 == Some(true) {
        let deaf = cards
            .iter()
            .filter(|card| card.exists && card.accept_ra == Some(1));
        findings.extend(deaf.map(|card| {
            Finding::warn(
                "forwarding",
                &card.name,
                "router advertisements are ignored while IPv6 forwarding is on: the default route may be lost",
                format!("sysctl -w net.ipv6.conf.{}.accept_ra=2, or a static route", card.name),
            )
        }));
    }
    findings
}

fn of_family(key: &str, on: bool) -> Finding {
    let found = match on {
        true => "on: this host also routes what is not the relay's",
        false => "off: the relay does not need it",
    };
    Finding::ok("forwarding", key, found)
}
