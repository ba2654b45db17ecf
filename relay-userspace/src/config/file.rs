//! The TOML file as one layer. Knows every key's name and shape, no defaults and no rule between keys.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml_edit::Document;

use super::fault::{At, Faults, Wrong};
use super::raw::Raw;
use super::reader::{Section, Source};
use super::value::Protocol;
use super::{
    Forward, User, accounts, auth_hook, auth_jwt, defaults, drain, events, public_api, rates,
    signaling, value,
};
use crate::secret::Secret;
use crate::tls::CertificateFiles;

pub fn read(path: &Path, text: &str, faults: &mut Faults) -> Raw {
    let source = Source { path, text };
    let document = match Document::parse(text) {
        Ok(document) => document,
        Err(error) => {
            let problem = error.message().trim().replace('\n', ", ");
            let remedy = "the file is not TOML; see docs/config.md for an example";
            faults.add(&source.place(error.span(), ""), Wrong::new(problem, remedy));
            return Raw::default();
        }
    };
    let mut root = Section::root(source, document.as_table());
    let mut raw = Raw::default();

    let mut listen = root.section("listen", faults);
    let mut addresses = |protocol: Protocol| {
        let texts = listen.texts(protocol.name(), faults, |text| {
            value::listen(text, protocol)
        });
        texts.map(value::spread)
    };
    raw.listen_udp = addresses(Protocol::Udp);
    raw.listen_tcp = addresses(Protocol::Tcp);
    raw.listen_tls = addresses(Protocol::Tls);
    raw.proxy_protocol_from = listen.texts("proxy_protocol_from", faults, value::network);
    listen.finish(faults);

    let mut tls = root.section("tls", faults);
    raw.certificates = tls.sections("certificate", faults).map(|all| {
        all.into_iter()
            .filter_map(|one| certificate(one, faults))
            .collect()
    });
    tls.finish(faults);

    let mut stream = root.section("stream", faults);
    raw.max_queue_bytes = stream.number("max_queue_bytes", faults);
    raw.max_queue_age = stream.text("max_queue_age", faults, value::duration);
    raw.setup_timeout = stream.text("setup_timeout", faults, value::duration);
    raw.handshakes_per_second = stream.number("handshakes_per_second", faults);
    raw.max_waiting = stream.number("max_waiting", faults);
    raw.max_waiting_per_prefix = stream.number("max_waiting_per_prefix", faults);
    stream.finish(faults);

    let mut relay = root.section("relay", faults);
    raw.relay_addresses = relay.texts("addresses", faults, value::ip);
    raw.advertise = relay.texts("advertise", faults, value::advertised);
    raw.relay_ports = relay.text("ports", faults, value::ports);
    relay.finish(faults);

    let mut kernel = root.section("kernel", faults);
    raw.interfaces = kernel.texts("interfaces", faults, value::interface);
    raw.xdp = kernel.text("xdp", faults, value::xdp);
    raw.max_sessions = kernel.number("max_sessions", faults);
    raw.pin_directory = kernel.text("pin_directory", faults, path_of);
    kernel.finish(faults);

    auth(&mut root, &mut raw, faults);

    let mut turn = root.section("turn", faults);
    raw.mobility = turn.boolean("mobility", faults);
    raw.behavior_discovery = turn.texts("behavior_discovery", faults, value::socket_address);
    raw.alternates = turn.texts("alternate_servers", faults, drain::alternate);
    turn.finish(faults);

    let mut peers = root.section("peers", faults);
    raw.peers_allow = peers.texts("allow", faults, value::network);
    raw.peers_deny = peers.texts("deny", faults, value::network);
    peers.finish(faults);

    let mut limits = root.section("limits", faults);
    raw.allocations = limits.number("allocations", faults);
    raw.allocations_per_user = limits.number("allocations_per_user", faults);
    raw.permissions_per_allocation = limits.number("permissions_per_allocation", faults);
    raw.channels_per_allocation = limits.number("channels_per_allocation", faults);
    raw.permissions_per_user = limits.number("permissions_per_user", faults);
    raw.channels_per_user = limits.number("channels_per_user", faults);
    raw.permissions = limits.number("permissions", faults);
    raw.channels = limits.number("channels", faults);
    raw.max_lifetime = limits.text("max_lifetime", faults, value::duration);
    raw.unauthenticated_per_second = limits.number("unauthenticated_per_second", faults);
    limits.finish(faults);

    rates::read(&mut root, &mut raw, faults);
    drain::read(&mut root, &mut raw, faults);
    events::read(&mut root, &mut raw, faults);
    let mut shield = root.section("shield", faults);
    raw.shield_enabled = shield.boolean("enabled", faults);
    raw.strangers_per_prefix = shield.number("strangers_per_prefix", faults);
    raw.strangers_per_cpu = shield.number("strangers_per_cpu", faults);
    raw.junk_per_prefix = shield.number("junk_per_prefix", faults);
    raw.junk_per_cpu = shield.number("junk_per_cpu", faults);
    raw.closed_ports_per_cpu = shield.number("closed_ports_per_cpu", faults);
    raw.shield_client_address = shield.number("client_address", faults);
    raw.shield_session = shield.number("session", faults);
    shield.finish(faults);

    raw.forwards = root.sections("forward", faults).map(|all| {
        all.into_iter()
            .filter_map(|one| forward(one, faults))
            .collect()
    });

    let mut admin = root.section("admin", faults);
    raw.admin_socket = admin.text("socket", faults, path_of);
    admin.finish(faults);

    let mut metrics = root.section("metrics", faults);
    raw.metrics_listen = metrics.text("listen", faults, value::metrics);
    raw.metrics_public = metrics.boolean("allow_public", faults);
    metrics.finish(faults);

    raw.signaling = signaling::read(&mut root, faults);
    raw.api = public_api::read(&mut root, faults);

    let mut log = root.section("log", faults);
    raw.log_level = log.text("level", faults, value::log_level);
    raw.log_format = log.text("format", faults, value::log_format);
    log.finish(faults);

    raw.workers = root.number("workers", faults);
    raw.survive = root.boolean("survive", faults);
    root.finish(faults);
    raw
}

fn auth(root: &mut Section<'_>, raw: &mut Raw, faults: &mut Faults) {
    let mut auth = root.section("auth", faults);
    raw.realm = auth.text("realm", faults, any);
    raw.secrets = auth.texts("secrets", faults, |text| any(text).map(Secret::new));
    raw.secret_file = auth.text("secret_file", faults, path_of);
    accounts::read(&mut auth, raw, faults);
    raw.hook = auth_hook::read(&mut auth, faults);
    raw.jwt = auth_jwt::read(&mut auth, faults);
    raw.users = auth.sections("users", faults).map(|all| {
        all.into_iter()
            .filter_map(|mut one| {
                let place = one.place().clone();
                let name = one.text("name", faults, any);
                let password = one.text("password", faults, any);
                one.needs("name", "write name = \"…\"", faults);
                one.needs("password", "write password = \"…\"", faults);
                one.finish(faults);
                Some(place.of(User {
                    name: name?.value,
                    password: Secret::new(password?.value),
                }))
            })
            .collect()
    });
    auth.finish(faults);
}

fn certificate(mut one: Section<'_>, faults: &mut Faults) -> Option<At<CertificateFiles>> {
    let place = one.place().clone();
    let cert = one.text("cert", faults, path_of);
    let key = one.text("key", faults, path_of);
    one.needs("cert", "write cert = \"FILE\", a PEM chain", faults);
    one.needs("key", "write key = \"FILE\", a PEM key", faults);
    one.finish(faults);
    let (cert, key) = (cert?.value, key?.value);
    Some(place.of(CertificateFiles { cert, key }))
}

fn forward(mut one: Section<'_>, faults: &mut Faults) -> Option<At<Forward>> {
    let place = one.place().clone();
    let name = one.text("name", faults, value::name);
    let listen = one.text("listen", faults, value::forward_listen);
    let to = one.text("to", faults, value::destination);
    let allow = one
        .texts("allow", faults, value::network)
        .unwrap_or_default();
    let idle = one.text("idle", faults, value::duration);
    let max_sessions = one.number("max_sessions", faults);
    one.needs("listen", "write listen = \"udp/PORT\"", faults);
    one.needs("to", "write to = \"HOST:PORT\"", faults);
    one.finish(faults);
    let (listen, to) = (listen?.value, to?.value);
    Some(place.of(Forward {
        name: name.map_or_else(|| defaults::forward_name(listen), |name| name.value),
        listen,
        to,
        allow: allow.into_iter().map(|net| net.value).collect(),
        idle: idle.map_or(defaults::FORWARD_IDLE, |idle: At<Duration>| idle.value),
        max_sessions: max_sessions.map_or(defaults::FORWARD_SESSIONS, |max: At<usize>| max.value),
    }))
}

pub(super) fn any(text: &str) -> Result<String, Wrong> {
    match text {
        "" => Err(Wrong::new("is empty", "write a text, or leave the key out")),
        text => Ok(text.to_owned()),
    }
}

pub(super) fn path_of(text: &str) -> Result<PathBuf, Wrong> {
    any(text).map(PathBuf::from)
}
