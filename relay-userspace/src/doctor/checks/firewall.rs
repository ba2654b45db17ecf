//! Whether rules of the host's firewall drop datagrams for the relay's ports. What it cannot judge it says.

use std::net::SocketAddr;

use super::super::facts::{Action, Card, Chain, Condition, Firewall, Ports, Rule};
use super::Finding;

/// Deeper than any sane rule set jumps.
const DEPTH: usize = 16;

/// A datagram that begins something new.
struct Packet<'a> {
    port: u16,
    cards: &'a [&'a str],
}

/// Whether a rule is about a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Match {
    No,
    Maybe,
    Yes,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fate {
    Accepted,
    /// By this rule or policy.
    Dropped(String),
    MaybeDropped(String),
    /// Back to the chain that jumped here.
    Undecided,
}

pub fn check(firewall: &Firewall, ports: &Ports, cards: &[Card]) -> Vec<Finding> {
    let unread = firewall.unread.iter().map(|why| {
        Finding::warn(
            "firewall",
            "rules",
            why,
            "look yourself: nft list ruleset; iptables-save",
        )
    });
    let mut findings: Vec<_> = unread.collect();
    let cards: Vec<_> = cards
        .iter()
        .filter(|card| card.exists)
        .map(|card| card.name.as_str())
        .collect();
    let wanted = ports
        .listen
        .iter()
        .filter(|(_, address)| reachable(*address));
    let mut subjects: Vec<_> = wanted
        .map(|(_, address)| (address.port().to_string(), vec![address.port()]))
        .collect();
    if let Some(range) = &ports.relay {
        let (start, end) = (*range.start(), *range.end());
        let middle = start + (end - start) / 2;
        subjects.push((format!("{start}-{end}"), vec![start, middle, end]));
    }
    subjects.dedup();
    findings.extend(subjects.into_iter().map(|(subject, ports)| {
        let fates = ports.iter().map(|port| {
            fate(
                &firewall.chains,
                &Packet {
                    port: *port,
                    cards: &cards,
                },
            )
        });
        finding(&subject, worst(fates))
    }));
    findings
}

fn reachable(address: SocketAddr) -> bool {
    address.port() != 0 && !address.ip().is_loopback()
}

fn finding(ports: &str, fate: Fate) -> Finding {
    let subject = format!("udp/{ports}");
    let remedy = format!(
        "accept udp dport {ports} before it; what the kernel relays passes below the firewall, but first packets and STUN do not"
    );
    match fate {
        Fate::Dropped(by) => Finding::fail("firewall", subject, format!("dropped by {by}"), remedy),
        Fate::MaybeDropped(by) => Finding::warn(
            "firewall",
            subject,
            format!("some may be dropped by {by}"),
            remedy,
        ),
        Fate::Accepted | Fate::Undecided => Finding::ok("firewall", subject, "no rule drops it"),
    }
}

/// A packet has to pass every hooked chain.
fn fate(chains: &[Chain], packet: &Packet<'_>) -> Fate {
    let on_the_way = |chain: &&Chain| {
        chain
            .hook
            .as_ref()
            .is_some_and(|(hook, _)| matches!(hook.as_str(), "ingress" | "prerouting" | "input"))
    };
    worst(
        chains
            .iter()
            .filter(on_the_way)
            .map(|chain| through(chains, chain, packet, 0)),
    )
}

fn worst(fates: impl IntoIterator<Item = Fate>) -> Fate {
    let rank = |fate: &Fate| match fate {
        Fate::Accepted | Fate::Undecided => 0,
        Fate::MaybeDropped(_) => 1,
        Fate::Dropped(_) => 2,
    };
    fates
        .into_iter()
        .max_by_key(rank)
        .unwrap_or(Fate::Undecided)
}

fn through(chains: &[Chain], chain: &Chain, packet: &Packet<'_>, depth: usize) -> Fate {
    let mut some_accepted = false;
    let mut some_dropped: Option<String> = None;
    for rule in &chain.rules {
        let matched = matches(rule, packet);
        if matched == Match::No {
            continue;
        }
        let by = || format!("{} {}: {}", chain.table, chain.name, rule.text);
        let fate = match &rule.action {
            Action::Accept => Fate::Accepted,
            Action::Drop => Fate::Dropped(by()),
            Action::Return => {
                if matched == Match::Yes {
                    break;
                }
                Fate::Undecided
            }
            Action::Nothing => Fate::Undecided,
            Action::Jump(to) | Action::Goto(to) => {
                let target = chains
                    .iter()
                    .find(|other| other.table == chain.table && other.name == *to);
                match target {
                    Some(target) if depth < DEPTH => through(chains, target, packet, depth + 1),
                    _ => Fate::Undecided,
                }
            }
        };
        let certain = matched == Match::Yes;
        match fate {
            Fate::Accepted if certain => {
                return some_dropped.map_or(Fate::Accepted, Fate::MaybeDropped);
            }
            Fate::Accepted => some_accepted = true,
            Fate::Dropped(by) if certain && !some_accepted => return Fate::Dropped(by),
            Fate::Dropped(by) if certain => return Fate::MaybeDropped(by),
            Fate::Dropped(by) | Fate::MaybeDropped(by) => some_dropped = some_dropped.or(Some(by)),
            Fate::Undecided => {}
        }
        if certain && matches!(rule.action, Action::Goto(_)) {
            break;
        }
    }
    let policy = || format!("the policy of {} {}", chain.table, chain.name);
    match (
        chain.policy_drops && chain.hook.is_some(),
        some_accepted,
        some_dropped,
    ) {
        (true, false, _) => Fate::Dropped(policy()),
        (true, true, _) => Fate::MaybeDropped(policy()),
        (false, _, Some(by)) => Fate::MaybeDropped(by),
        (false, _, None) => Fate::Undecided,
    }
}

fn matches(rule: &Rule, packet: &Packet<'_>) -> Match {
    rule.conditions
        .iter()
        .map(|condition| holds(condition, packet))
        .min()
        .unwrap_or(Match::Yes)
}

fn holds(condition: &Condition, packet: &Packet<'_>) -> Match {
    let sure = |yes| if yes { Match::Yes } else { Match::No };
    match condition {
        Condition::Protocol(protocol) => sure(["udp", "17"].contains(&protocol.as_str())),
        Condition::Ports(ranges, inverted) => {
            sure(ranges.iter().any(|range| range.contains(&packet.port)) != *inverted)
        }
        Condition::Card(names, inverted) => {
            let named = |card: &&str| names.iter().any(|name| is_named(name, card)) != *inverted;
            match packet.cards.iter().filter(|card| named(card)).count() {
                0 => Match::No,
                all if all == packet.cards.len() => Match::Yes,
                _ => Match::Maybe,
            }
        }
        Condition::ConnectionState(states) => {
            sure(states.iter().any(|state| state.eq_ignore_ascii_case("new")))
        }
        Condition::Other => Match::Maybe,
    }
}

/// `eth*` (nftables) and `eth+` (iptables) are prefixes.
fn is_named(pattern: &str, card: &str) -> bool {
    match pattern.strip_suffix(['*', '+']) {
        Some(prefix) => card.starts_with(prefix),
        None => pattern == card,
    }
}
