//! `iptables-save` as chains. Options it does not know make a condition unknown.

use std::ops::RangeInclusive;

use super::super::facts::{Action, Chain, Condition, Rule};

/// `family` is `iptables` or `ip6tables`.
pub fn parse(family: &str, text: &str) -> Vec<Chain> {
    let mut table = String::new();
    let mut chains: Vec<Chain> = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = format!("{family} {name}");
        } else if let Some(line) = line.strip_prefix(':') {
            let mut words = line.split(' ');
            let (name, policy) = (words.next().unwrap_or_default(), words.next());
            chains.push(Chain {
                table: table.clone(),
                name: name.to_owned(),
                hook: hook(name).map(|hook| (hook.to_owned(), 0)),
                policy_drops: policy == Some("DROP"),
                rules: Vec::new(),
            });
        } else if let Some(line) = line.strip_prefix("-A ") {
            let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
            if let Some(chain) = chains
                .iter_mut()
                .find(|chain| chain.table == table && chain.name == name)
            {
                chain.rules.push(rule(rest));
            }
        }
    }
    chains
}

fn hook(chain: &str) -> Option<&'static str> {
    match chain {
        "INPUT" => Some("input"),
        "PREROUTING" => Some("prerouting"),
        _ => None,
    }
}

fn rule(text: &str) -> Rule {
    let mut rule = Rule {
        conditions: Vec::new(),
        action: Action::Nothing,
        text: text.to_owned(),
    };
    let mut inverted = false;
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        let condition = match word {
            "!" => {
                inverted = true;
                continue;
            }
            "-m" => {
                value();
                continue;
            }
            "-j" => {
                rule.action = action(value());
                continue;
            }
            "-g" => {
                rule.action = Action::Goto(value().to_owned());
                continue;
            }
            "-p" if !inverted => Condition::Protocol(value().to_owned()),
            "--dport" | "--dports" => Condition::Ports(ports(value()), inverted),
            "-i" => Condition::Card(vec![value().to_owned()], inverted),
            "--ctstate" | "--state" if !inverted => {
                Condition::ConnectionState(value().split(',').map(str::to_owned).collect())
            }
            // What follows belongs to the target.
            "--reject-with" | "--log-prefix" | "--log-level" | "--comment" | "--set-xmark" => {
                value();
                continue;
            }
            option if option.starts_with('-') => Condition::Other,
            _ => continue,
        };
        inverted = false;
        rule.conditions.push(condition);
    }
    rule
}

fn action(target: &str) -> Action {
    match target {
        "ACCEPT" => Action::Accept,
        "DROP" | "REJECT" => Action::Drop,
        "RETURN" => Action::Return,
        "LOG" | "MARK" | "CONNMARK" | "NFLOG" | "NOTRACK" | "CT" | "TCPMSS" => Action::Nothing,
        chain => Action::Jump(chain.to_owned()),
    }
}

/// `3478,49152:65535`.
fn ports(text: &str) -> Vec<RangeInclusive<u16>> {
    let range = |item: &str| {
        let (start, end) = item.split_once(':').unwrap_or((item, item));
        Some(start.parse().ok()?..=end.parse().ok()?)
    };
    text.split(',').filter_map(range).collect()
}
