//! `nft --json list ruleset` as chains: <https://www.mankier.com/5/libnftables-json>. Conditions it does not know stay unknown.

use std::ops::RangeInclusive;

use serde_json::Value;

use super::super::facts::{Action, Chain, Condition, Rule};

/// `None`: not what nft writes.
pub fn parse(json: &str) -> Option<Vec<Chain>> {
    let root: Value = serde_json::from_str(json).ok()?;
    let objects = root["nftables"].as_array()?;
    let mut chains: Vec<Chain> = objects
        .iter()
        .filter_map(|object| object.get("chain").and_then(chain))
        .collect();
    for object in objects.iter().filter_map(|object| object.get("rule")) {
        let (table, name) = (
            table_of(object),
            object["chain"].as_str().unwrap_or_default(),
        );
        if let Some(chain) = chains
            .iter_mut()
            .find(|chain| chain.table == table && chain.name == name)
        {
            chain
                .rules
                .push(rule(object["expr"].as_array().map_or(&[], Vec::as_slice)));
        }
    }
    Some(chains)
}

fn table_of(object: &Value) -> String {
    let word = |key: &str| object[key].as_str().unwrap_or_default();
    format!("{} {}", word("family"), word("table"))
}

fn chain(object: &Value) -> Option<Chain> {
    let priority = object["prio"].as_i64().unwrap_or_default();
    Some(Chain {
        table: table_of(object),
        name: object["name"].as_str()?.to_owned(),
        hook: object["hook"]
            .as_str()
            .map(|hook| (hook.to_owned(), priority)),
        policy_drops: object["policy"] == "drop",
        rules: Vec::new(),
    })
}

fn rule(expressions: &[Value]) -> Rule {
    let mut rule = Rule {
        conditions: Vec::new(),
        action: Action::Nothing,
        text: String::new(),
    };
    let mut words = Vec::new();
    for expression in expressions {
        let Some((kind, body)) = expression
            .as_object()
            .and_then(|object| object.iter().next())
        else {
            continue;
        };
        let target = || body["target"].as_str().unwrap_or_default().to_owned();
        match kind.as_str() {
            "match" => {
                rule.conditions.extend(conditions(body));
                words.push(format!(
                    "{} {}",
                    name_of(&body["left"]),
                    short(&body["right"])
                ));
                continue;
            }
            "accept" => rule.action = Action::Accept,
            "drop" | "reject" => rule.action = Action::Drop,
            "return" => rule.action = Action::Return,
            "jump" => rule.action = Action::Jump(target()),
            "goto" => rule.action = Action::Goto(target()),
            "vmap" => {
                let (condition, action) = verdict_map(body);
                rule.conditions.extend(condition);
                rule.action = action;
            }
            "counter" | "log" | "comment" | "mangle" | "notrack" => continue,
            // Sets, limits, extensions of iptables: whether it matches is not known, nor at times what it does.
            _ => rule.conditions.push(Condition::Other),
        }
        words.push(kind.clone());
    }
    rule.text = words.join(" ");
    rule
}

/// A map by connection state says what happens to new ones; of any other map some may be accepted.
fn verdict_map(body: &Value) -> (Option<Condition>, Action) {
    if body["key"]["ct"]["key"] != "state" {
        return (Some(Condition::Other), Action::Accept);
    }
    let entries = body["data"]["set"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    let of_new = entries
        .iter()
        .find(|entry| entry[0] == "new")
        .map(|entry| &entry[1]);
    let action = match of_new
        .and_then(Value::as_object)
        .and_then(|verdict| verdict.iter().next())
    {
        None => Action::Nothing,
        Some((kind, _)) if kind == "drop" => Action::Drop,
        Some((kind, body)) if kind == "jump" || kind == "goto" => {
            Action::Jump(body["target"].as_str().unwrap_or_default().to_owned())
        }
        Some(_) => Action::Accept,
    };
    (None, action)
}

fn conditions(body: &Value) -> Vec<Condition> {
    let (left, right) = (&body["left"], &body["right"]);
    let inverted = body["op"] == "!=";
    let payload = &left["payload"];
    let meta = left["meta"]["key"].as_str();
    match (payload["field"].as_str(), meta, left["ct"]["key"].as_str()) {
        (Some("dport"), ..) => {
            let protocol = payload["protocol"].as_str().unwrap_or_default();
            let implied = (protocol != "th").then(|| Condition::Protocol(protocol.to_owned()));
            let ports =
                ports(right).map_or(Condition::Other, |ports| Condition::Ports(ports, inverted));
            implied.into_iter().chain([ports]).collect()
        }
        (Some("protocol" | "nexthdr"), ..) | (_, Some("l4proto"), _) if !inverted => {
            match right.as_str() {
                Some(protocol) => vec![Condition::Protocol(protocol.to_owned())],
                None if texts(right).iter().any(|protocol| protocol == "udp") => Vec::new(),
                None => vec![Condition::Other],
            }
        }
        (_, Some("iifname" | "iif"), _) => vec![Condition::Card(texts(right), inverted)],
        (_, _, Some("state")) if !inverted => vec![Condition::ConnectionState(texts(right))],
        _ => vec![Condition::Other],
    }
}

fn ports(right: &Value) -> Option<Vec<RangeInclusive<u16>>> {
    let port = |value: &Value| u16::try_from(value.as_u64()?).ok();
    if let Some(port) = port(right) {
        return Some(vec![port..=port]);
    }
    if let Some(range) = right["range"].as_array() {
        return Some(vec![port(range.first()?)?..=port(range.get(1)?)?]);
    }
    let set = right["set"].as_array()?;
    set.iter()
        .map(ports)
        .collect::<Option<Vec<_>>>()
        .map(|all| all.concat())
}

fn texts(right: &Value) -> Vec<String> {
    let list = right["set"].as_array().or(right.as_array());
    let one = |value: &Value| value.as_str().map(str::to_owned);
    list.map_or_else(
        || one(right).into_iter().collect(),
        |all| all.iter().filter_map(one).collect(),
    )
}

fn name_of(left: &Value) -> String {
    let field = left["payload"]["field"].as_str();
    let key = left["meta"]["key"].as_str().or(left["ct"]["key"].as_str());
    field.or(key).unwrap_or("?").to_owned()
}

fn short(right: &Value) -> String {
    right
        .as_str()
        .map_or_else(|| right.to_string(), str::to_owned)
}
