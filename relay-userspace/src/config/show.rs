//! The effective configuration as TOML or JSON, secrets as `***`. Its output reads back as a configuration, but for the secrets.

use serde_json::{Map, Value as Json};
use toml_edit::{Array, ArrayOfTables, DocumentMut, Item, Table, Value, value};

use super::value::{bit_rate_text, duration_text};
use super::{
    Caps, Forward, Hook, Jwt, LogFormat, Settings, SharedSecrets, XdpMode, public_api, signaling,
};
use crate::events::webhook::Webhook;
use crate::police::{Limit, Limits};

const HIDDEN: &str = "***";

pub fn toml(settings: &Settings) -> DocumentMut {
    let config = &settings.config;
    let mut root = DocumentMut::new();
    root["workers"] = number(config.workers);
    root["survive"] = value(config.survive);
    root["listen"] = section([
        ("udp", list(&config.listen.udp)),
        ("tcp", list(&config.listen.tcp)),
        ("tls", list(&config.listen.tls)),
        (
            "proxy_protocol_from",
            list(&config.listen.proxy_protocol_from),
        ),
    ]);
    let certificates = config.tls.certificates.iter().map(|one| {
        let path = |path: &std::path::Path| value(path.display().to_string());
        [("cert", path(&one.cert)), ("key", path(&one.key))]
            .into_iter()
            .collect()
    });
    root["tls"] = section([("certificate", tables(certificates))]);
    let stream = &config.stream;
    root["stream"] = section([
        ("max_queue_bytes", number(stream.max_queue_bytes)),
        ("max_queue_age", value(duration_text(stream.max_queue_age))),
        ("setup_timeout", value(duration_text(stream.setup_timeout))),
        (
            "handshakes_per_second",
            number(stream.handshakes_per_second as usize),
        ),
        ("max_waiting", number(stream.max_waiting)),
        (
            "max_waiting_per_prefix",
            number(stream.max_waiting_per_prefix as usize),
        ),
    ]);
    root["relay"] = section([
        ("addresses", list(&config.relay.addresses)),
        ("advertise", list(&config.relay.advertise)),
        (
            "ports",
            value(format!(
                "{}-{}",
                config.relay.ports.start(),
                config.relay.ports.end()
            )),
        ),
    ]);
    root["kernel"] = section([
        ("interfaces", list(&config.kernel.interfaces)),
        ("xdp", value(xdp_text(config.kernel.xdp))),
        ("max_sessions", number(config.kernel.max_sessions as usize)),
        (
            "pin_directory",
            value(config.kernel.pin_directory.display().to_string()),
        ),
    ]);
    let mut auth = section([
        ("realm", value(&config.auth.realm)),
        ("secrets", list(config.auth.secrets.iter().map(|_| HIDDEN))),
    ]);
    auth["strict_expiry"] = value(config.auth.strict_expiry);
    if let Some(hook) = &config.auth.hook {
        auth["hook"] = Item::Table(self::hook(hook));
    }
    if let Some(jwt) = &config.auth.jwt {
        auth["jwt"] = Item::Table(self::jwt(jwt));
    }
    auth["shared"] = tables(config.auth.shared.iter().map(shared_secrets));
    auth["users"] = tables(config.auth.users.iter().map(|user| {
        [("name", value(&user.name)), ("password", value(HIDDEN))]
            .into_iter()
            .collect()
    }));
    root["auth"] = auth;
    let behavior = config.turn.behavior_discovery.iter().flatten();
    root["turn"] = section([
        ("mobility", value(config.turn.mobility)),
        ("behavior_discovery", list(behavior)),
        ("alternate_servers", list(&config.turn.alternates)),
    ]);
    root["drain"] = section([("on_stop", value(duration_text(config.drain.on_stop)))]);
    root["peers"] = section([
        ("allow", list(&config.peers.allow)),
        ("deny", list(&config.peers.deny)),
    ]);
    let limits = &config.limits;
    root["limits"] = section([
        ("allocations", number(limits.allocations)),
        ("allocations_per_user", number(limits.allocations_per_user)),
        (
            "permissions_per_allocation",
            number(limits.permissions_per_allocation),
        ),
        (
            "channels_per_allocation",
            number(limits.channels_per_allocation),
        ),
        ("max_lifetime", value(duration_text(limits.max_lifetime))),
        (
            "unauthenticated_per_second",
            number(limits.unauthenticated_per_second as usize),
        ),
    ]);
    for (key, most) in [
        ("permissions_per_user", limits.permissions_per_user),
        ("channels_per_user", limits.channels_per_user),
        ("permissions", limits.permissions),
        ("channels", limits.channels),
    ] {
        if let Some(most) = most {
            root["limits"][key] = number(most);
        }
    }
    root["rates"] = Item::Table(rates(&config.rates));
    let shield = &config.shield;
    root["shield"] = section([
        ("enabled", value(shield.enabled)),
        (
            "strangers_per_prefix",
            number(shield.strangers_per_prefix as usize),
        ),
        (
            "strangers_per_cpu",
            number(shield.strangers_per_cpu as usize),
        ),
        ("junk_per_prefix", number(shield.junk_per_prefix as usize)),
        ("junk_per_cpu", number(shield.junk_per_cpu as usize)),
        (
            "closed_ports_per_cpu",
            number(shield.closed_ports_per_cpu as usize),
        ),
        ("client_address", number(shield.client_address as usize)),
        ("session", number(shield.session as usize)),
    ]);
    root["forward"] = tables(config.forwards.iter().map(forward));
    root["events"] = section([(
        "webhooks",
        tables(config.events.webhooks.iter().map(webhook)),
    )]);
    root["signaling"] = Item::Table(signaling::shown(&config.signaling));
    root["api"] = Item::Table(public_api::shown(&config.api));
    root["admin"] = section([("socket", value(config.admin.socket.display().to_string()))]);
    let metrics = config.metrics.listen;
    root["metrics"] = section([
        (
            "listen",
            value(metrics.map_or("off".to_owned(), |address| address.to_string())),
        ),
        (
            "allow_public",
            value(metrics.is_some_and(|address| !address.ip().is_loopback())),
        ),
    ]);
    let format = match settings.log.format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    };
    root["log"] = section([
        ("level", value(&settings.log.level)),
        ("format", value(format)),
    ]);
    root
}

pub fn json(settings: &Settings) -> Json {
    table_json(toml(settings).as_table())
}

/// A file's secrets are among `secrets`: where they are from does not matter any more.
fn shared_secrets(group: &SharedSecrets) -> Table {
    let mut table: Table = [
        ("id", value(&group.id)),
        ("secrets", list(group.secrets.iter().map(|_| HIDDEN))),
    ]
    .into_iter()
    .collect();
    let Caps {
        allocations,
        channels,
        permissions,
    } = group.caps;
    for (key, most) in [
        ("allocations", allocations),
        ("channels", channels),
        ("permissions", permissions),
    ] {
        if let Some(most) = most {
            table[key] = number(most);
        }
    }
    table.extend(limit(&group.limit, "bits", "packets"));
    table
}

fn hook(hook: &Hook) -> Table {
    let path = |path: &std::path::PathBuf| value(path.display().to_string());
    [
        ("url", value(hook.url.to_string())),
        ("timeout", value(duration_text(hook.timeout))),
        ("cache_ttl", value(duration_text(hook.cache_ttl))),
        ("negative_ttl", value(duration_text(hook.negative_ttl))),
        ("cache_entries", number(hook.cache_entries)),
        ("max_concurrent", number(hook.max_concurrent)),
        (
            "questions_per_second",
            number(hook.questions_per_second as usize),
        ),
    ]
    .into_iter()
    .chain(
        hook.token_file
            .iter()
            .map(|file| ("token_file", path(file))),
    )
    .chain(hook.ca_file.iter().map(|file| ("ca_file", path(file))))
    .collect()
}

fn jwt(jwt: &Jwt) -> Table {
    let mut table: Table = [
        ("issuer", value(&jwt.issuer)),
        ("audience", value(&jwt.audience)),
        ("clock_skew", value(duration_text(jwt.clock_skew))),
    ]
    .into_iter()
    .collect();
    table["keys"] = tables(jwt.keys.iter().map(|one| {
        [
            ("kid", value(&one.kid)),
            ("algorithm", value(one.key.algorithm().name())),
            ("file", value(one.file.display().to_string())),
        ]
        .into_iter()
        .collect()
    }));
    table
}

fn limit(
    limit: &Limit,
    bits: &'static str,
    packets: &'static str,
) -> impl Iterator<Item = (&'static str, Item)> + use<> {
    let bits = limit
        .bits_per_second
        .map(|n| (bits, value(bit_rate_text(n))));
    let packets = limit
        .packets_per_second
        .map(|n| (packets, number(usize::try_from(n).unwrap_or(usize::MAX))));
    bits.into_iter().chain(packets)
}

fn forward(forward: &Forward) -> Table {
    [
        ("name", value(&forward.name)),
        ("listen", value(format!("udp/{}", forward.listen))),
        ("to", value(forward.to.to_string())),
        ("allow", list(&forward.allow)),
        ("idle", value(duration_text(forward.idle))),
        ("max_sessions", number(forward.max_sessions)),
    ]
    .into_iter()
    .collect()
}

fn webhook(hook: &Webhook) -> Table {
    let secret = hook.secret.iter().map(|_| ("secret", value(HIDDEN)));
    [
        ("url", value(hook.url.to_string())),
        ("batch", number(hook.batch)),
        ("of", list(&hook.filter.of)),
    ]
    .into_iter()
    .chain(secret)
    .collect()
}

/// What is not limited is left out.
fn rates(limits: &Limits) -> Table {
    let mut table: Table = limit(&limits.session, "session_bits", "session_packets")
        .chain(limit(&limits.user, "user_bits", "user_packets"))
        .chain(limit(&limits.total, "total_bits", "total_packets"))
        .chain([("burst", value(duration_text(limits.burst)))])
        .collect();
    let mut users: Vec<_> = limits.users.iter().collect();
    users.sort_by_key(|(name, _)| name.as_str());
    let user = |(name, own): (&String, &Limit)| -> Table {
        std::iter::once(("name", value(name)))
            .chain(limit(own, "bits", "packets"))
            .collect()
    };
    table["users"] = tables(users.into_iter().map(user));
    table
}

fn xdp_text(mode: XdpMode) -> &'static str {
    match mode {
        XdpMode::Auto => "auto",
        XdpMode::Native => "native",
        XdpMode::Generic => "generic",
        XdpMode::Off => "off",
    }
}

fn section<const N: usize>(keys: [(&'static str, Item); N]) -> Item {
    Item::Table(keys.into_iter().collect())
}

pub(super) fn tables(all: impl Iterator<Item = Table>) -> Item {
    Item::ArrayOfTables(all.collect::<ArrayOfTables>())
}

pub(super) fn list<T: ToString>(all: impl IntoIterator<Item = T>) -> Item {
    value(
        all.into_iter()
            .map(|one| one.to_string())
            .collect::<Array>(),
    )
}

pub(super) fn number(count: usize) -> Item {
    value(i64::try_from(count).unwrap_or(i64::MAX))
}

fn table_json(table: &Table) -> Json {
    let pair = |(key, item): (&str, &Item)| (key.to_owned(), item_json(item));
    Json::Object(table.iter().map(pair).collect::<Map<_, _>>())
}

fn item_json(item: &Item) -> Json {
    match item {
        Item::None => Json::Null,
        Item::Table(table) => table_json(table),
        Item::ArrayOfTables(all) => all.iter().map(table_json).collect(),
        Item::Value(one) => value_json(one),
    }
}

fn value_json(one: &Value) -> Json {
    match one {
        Value::Integer(number) => (*number.value()).into(),
        Value::Boolean(truth) => (*truth.value()).into(),
        Value::Array(all) => all.iter().map(value_json).collect(),
        other => other.as_str().unwrap_or_default().into(),
    }
}
