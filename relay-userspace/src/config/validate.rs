//! Merged layers to one `Config`: fills in the defaults and checks the rules that need more than one key.

mod listeners;

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::fault::{At, Faults, Place, Wrong};
use super::raw::Raw;
use super::{
    Config, Destination, Forward, Log, Peers, Shield, User, accounts, drain, events, public_api,
    rates, signaling,
};
use crate::advertise::Advertised;
use crate::policy::PeerPolicy;

/// More a second is more than a meter of the kernel can tell apart.
const MOST_PER_SECOND: u32 = 1_000_000;

/// The configuration meant; worth something only while `faults` stays empty.
pub fn validate(raw: Raw, faults: &mut Faults) -> (Config, Log) {
    rules(&raw, faults);
    let mut config = Config::default();
    let mut log = Log::default();
    rates::set(&mut config.rates, &raw, faults);
    shield(&mut config.shield, &raw, faults);
    set_all(&mut config.listen.udp, raw.listen_udp);
    set_all(&mut config.listen.tcp, raw.listen_tcp);
    set_all(&mut config.listen.tls, raw.listen_tls);
    let proxies = &mut config.listen.proxy_protocol_from;
    set_all(proxies, raw.proxy_protocol_from);
    set_all(&mut config.tls.certificates, raw.certificates);
    set(&mut config.stream.max_queue_bytes, raw.max_queue_bytes);
    set(&mut config.stream.max_queue_age, raw.max_queue_age);
    set(&mut config.stream.setup_timeout, raw.setup_timeout);
    set(
        &mut config.stream.handshakes_per_second,
        raw.handshakes_per_second,
    );
    set(&mut config.stream.max_waiting, raw.max_waiting);
    let of_a_prefix = &mut config.stream.max_waiting_per_prefix;
    set(of_a_prefix, raw.max_waiting_per_prefix);
    set(&mut config.turn.mobility, raw.mobility);
    config.turn.behavior_discovery = listeners::behavior(&raw.behavior_discovery, faults);
    set_all(&mut config.relay.addresses, raw.relay_addresses);
    set_all(&mut config.relay.advertise, raw.advertise);
    set(&mut config.relay.ports, raw.relay_ports);
    set_all(&mut config.kernel.interfaces, raw.interfaces);
    set(&mut config.kernel.xdp, raw.xdp);
    set(&mut config.kernel.max_sessions, raw.max_sessions);
    set(&mut config.kernel.pin_directory, raw.pin_directory);
    set(&mut config.auth.realm, raw.realm);
    set_all(&mut config.auth.secrets, raw.secrets);
    set_all(&mut config.auth.shared, raw.shared_secrets);
    set_all(&mut config.auth.users, raw.users);
    config.auth.hook = raw.hook.map(|at| at.value);
    config.auth.jwt = raw.jwt.map(|at| at.value);
    set(&mut config.auth.strict_expiry, raw.strict_expiry);
    set_all(&mut config.peers.allow, raw.peers_allow);
    set_all(&mut config.peers.deny, raw.peers_deny);
    let limits = &mut config.limits;
    set(&mut limits.allocations, raw.allocations);
    set(&mut limits.allocations_per_user, raw.allocations_per_user);
    set(
        &mut limits.permissions_per_allocation,
        raw.permissions_per_allocation,
    );
    set(
        &mut limits.channels_per_allocation,
        raw.channels_per_allocation,
    );
    for (field, said) in [
        (&mut limits.permissions_per_user, raw.permissions_per_user),
        (&mut limits.channels_per_user, raw.channels_per_user),
        (&mut limits.permissions, raw.permissions),
        (&mut limits.channels, raw.channels),
    ] {
        *field = said.map(|at| at.value);
    }
    set(&mut limits.max_lifetime, raw.max_lifetime);
    set(
        &mut limits.unauthenticated_per_second,
        raw.unauthenticated_per_second,
    );
    set_all(&mut config.forwards, raw.forwards);
    set(&mut config.admin.socket, raw.admin_socket);
    set(&mut config.metrics.listen, raw.metrics_listen);
    set(&mut config.signaling, raw.signaling);
    set(&mut config.api, raw.api);
    set_all(&mut config.turn.alternates, raw.alternates);
    set(&mut config.drain.on_stop, raw.drain_on_stop);
    set_all(&mut config.events.webhooks, raw.webhooks);
    set(&mut config.workers, raw.workers);
    set(&mut config.survive, raw.survive);
    set(&mut log.level, raw.log_level);
    set(&mut log.format, raw.log_format);
    (config, log)
}

fn shield(shield: &mut Shield, raw: &Raw, faults: &mut Faults) {
    set_ref(&mut shield.enabled, &raw.shield_enabled);
    for (field, said) in [
        (&mut shield.strangers_per_prefix, &raw.strangers_per_prefix),
        (&mut shield.strangers_per_cpu, &raw.strangers_per_cpu),
        (&mut shield.junk_per_prefix, &raw.junk_per_prefix),
        (&mut shield.junk_per_cpu, &raw.junk_per_cpu),
        (&mut shield.closed_ports_per_cpu, &raw.closed_ports_per_cpu),
        (&mut shield.client_address, &raw.shield_client_address),
        (&mut shield.session, &raw.shield_session),
    ] {
        at_least_one(said, faults);
        limit(said, MOST_PER_SECOND, faults);
        set_ref(field, said);
    }
}

fn set_ref<T: Copy>(field: &mut T, said: &Option<At<T>>) {
    if let Some(at) = said {
        *field = at.value;
    }
}

fn set<T>(field: &mut T, said: Option<At<T>>) {
    if let Some(at) = said {
        *field = at.value;
    }
}

fn set_all<T>(field: &mut Vec<T>, said: Option<Vec<At<T>>>) {
    if let Some(all) = said {
        *field = all.into_iter().map(|at| at.value).collect();
    }
}

fn rules(raw: &Raw, faults: &mut Faults) {
    at_least_one(&raw.allocations, faults);
    at_least_one(&raw.allocations_per_user, faults);
    at_least_one(&raw.permissions_per_allocation, faults);
    at_least_one(&raw.channels_per_allocation, faults);
    for said in [
        &raw.permissions_per_user,
        &raw.channels_per_user,
        &raw.permissions,
        &raw.channels,
    ] {
        at_least_one(said, faults);
    }
    at_least_one(&raw.unauthenticated_per_second, faults);
    at_least_one(&raw.handshakes_per_second, faults);
    at_least_one(&raw.max_sessions, faults);
    limit(&raw.max_sessions, relay_common::MAX_SESSIONS, faults);
    limit(&raw.workers, 1024, faults);
    if let Some(at) = raw
        .max_lifetime
        .as_ref()
        .filter(|at| at.value < Duration::from_secs(1))
    {
        faults.add(
            &at.place,
            Wrong::new("no allocation would live", "write 1s or more, usually 1h"),
        );
    }
    if let Some(at) = raw
        .realm
        .as_ref()
        .filter(|at| at.value.is_empty() || at.value.chars().count() > 127)
    {
        // RFC 8489 §14.9: fewer than 128 characters.
        faults.add(
            &at.place,
            Wrong::new("is not a realm", "write 1 to 127 characters"),
        );
    }
    listeners::streams(raw, faults);
    drain::rules(raw, faults);
    events::rules(raw, faults);
    signaling::rules(raw, faults);
    public_api::rules(raw, faults);
    metrics_are_private(raw, faults);
    secrets(raw, faults);
    accounts::rules(raw, faults);
    users(raw.users.as_deref().unwrap_or_default(), faults);
    forwards(raw.forwards.as_deref().unwrap_or_default(), faults);
    destinations(raw, faults);
    listeners::clashes(raw, faults);
    one_address_a_family(raw, faults);
    advertised_once(raw.advertise.as_deref().unwrap_or_default(), faults);
    cards(raw.interfaces.as_deref().unwrap_or_default(), faults);
}

fn cards(names: &[At<String>], faults: &mut Faults) {
    for (index, at) in names.iter().enumerate() {
        if let Some(first) = names[..index].iter().find(|one| one.value == at.value) {
            let problem = format!(
                "card {} is there twice (first: {})",
                at.value, first.place.origin
            );
            faults.add(&at.place, Wrong::new(problem, "remove one"));
        }
    }
    if let Some(at) = names.get(relay_common::MAX_CARDS as usize) {
        let problem = format!("card {} is one more than the relay can use", at.value);
        let remedy = format!("name at most {}", relay_common::MAX_CARDS);
        faults.add(&at.place, Wrong::new(problem, remedy));
    }
}

fn at_least_one<T: PartialEq + From<u8>>(said: &Option<At<T>>, faults: &mut Faults) {
    if let Some(at) = said.as_ref().filter(|at| at.value == T::from(0)) {
        faults.add(
            &at.place,
            Wrong::new(
                "0 would refuse everything",
                "write 1 or more, or leave the key out",
            ),
        );
    }
}

fn limit<T: PartialOrd + std::fmt::Display + Copy>(
    said: &Option<At<T>>,
    max: T,
    faults: &mut Faults,
) {
    if let Some(at) = said.as_ref().filter(|at| at.value > max) {
        let problem = format!("{} is more than the relay can do", at.value);
        faults.add(
            &at.place,
            Wrong::new(problem, format!("write at most {max}")),
        );
    }
}

fn metrics_are_private(raw: &Raw, faults: &mut Faults) {
    let allowed = raw.metrics_public.as_ref().is_some_and(|at| at.value);
    let Some(At {
        value: Some(address),
        place,
    }) = &raw.metrics_listen
    else {
        return;
    };
    if !allowed && !address.ip().to_canonical().is_loopback() {
        let problem = format!("{address} would show the metrics to the network");
        let remedy = "listen on 127.0.0.1 or [::1], or set metrics.allow_public = true";
        faults.add(place, Wrong::new(problem, remedy));
    }
}

fn secrets(raw: &Raw, faults: &mut Faults) {
    for at in raw.secrets.iter().flatten() {
        if at.value.expose().trim().is_empty() {
            faults.add(
                &at.place,
                Wrong::new(
                    "the secret is empty",
                    "write the output of `openssl rand -hex 32`",
                ),
            );
        }
    }
}

fn users(users: &[At<User>], faults: &mut Faults) {
    let mut seen: HashMap<&str, &Place> = HashMap::new();
    for at in users {
        if at.value.name.contains(':') {
            let problem = format!("user name {:?} contains a colon", at.value.name);
            let remedy = "choose another: EXPIRY:NAME is how time-limited users look";
            faults.add(&at.place, Wrong::new(problem, remedy));
        }
        if let Some(first) = seen.insert(&at.value.name, &at.place) {
            let problem = format!(
                "user {} is there twice (first: {})",
                at.value.name, first.origin
            );
            faults.add(&at.place, Wrong::new(problem, "remove one"));
        }
    }
}

fn forwards(forwards: &[At<Forward>], faults: &mut Faults) {
    let mut seen: HashMap<&str, &Place> = HashMap::new();
    for at in forwards {
        let forward = &at.value;
        if let Some(first) = seen.insert(&forward.name, &at.place) {
            let problem = format!(
                "forward {} is there twice (first: {})",
                forward.name, first.origin
            );
            faults.add(&at.place, Wrong::new(problem, "give each its own name"));
        }
        if let Err(wrong) = forward_limits(forward) {
            faults.add(&at.place, wrong);
        }
    }
}

/// What the start would refuse is told now, as far as it needs no name server and no knowledge of the host.
fn destinations(raw: &Raw, faults: &mut Faults) {
    let networks = |said: &Option<Vec<At<IpNet>>>| {
        let all = said.iter().flatten();
        all.map(|at| at.value).collect()
    };
    let policy = PeerPolicy::new(&Peers {
        allow: networks(&raw.peers_allow),
        deny: networks(&raw.peers_deny),
    });
    for at in raw.forwards.iter().flatten() {
        let Destination { host, port } = &at.value.to;
        let Ok(address) = host.parse::<IpAddr>() else {
            continue;
        };
        if let Err(refusal) = policy.check((address, *port).into()) {
            let problem = format!("destination {address} is denied: {}", refusal.rule);
            faults.add(&at.place, Wrong::new(problem, refusal.remedy()));
        }
    }
}

/// The rules inside one forward; the admin socket asks the same.
pub fn forward_limits(forward: &Forward) -> Result<(), Wrong> {
    if forward.idle < Duration::from_secs(1) {
        return Err(Wrong::new(
            "idle would end every session at once",
            "write idle = \"1s\" or more",
        ));
    }
    if forward.max_sessions == 0 {
        return Err(Wrong::new(
            "max_sessions = 0 would refuse every client",
            "write 1 or more",
        ));
    }
    Ok(())
}

fn one_address_a_family(raw: &Raw, faults: &mut Faults) {
    let addresses: Vec<_> = raw.relay_addresses.iter().flatten().collect();
    for (index, at) in addresses.iter().enumerate() {
        if let Some(first) = addresses[..index]
            .iter()
            .find(|one| one.value.is_ipv4() == at.value.is_ipv4())
        {
            let problem = format!(
                "{} is a second address of its family (first: {})",
                at.value, first.value
            );
            faults.add(
                &at.place,
                Wrong::new(problem, "name at most one IPv4 and one IPv6 address"),
            );
        }
    }
}

fn advertised_once(pairs: &[At<Advertised>], faults: &mut Faults) {
    for (index, at) in pairs.iter().enumerate() {
        let Advertised { local, public } = at.value;
        let same = |one: &&At<Advertised>| one.value.local == local || one.value.public == public;
        if let Some(first) = pairs[..index].iter().find(same) {
            let problem = format!("{} contradicts {}", at.value, first.value);
            let remedy = "name each local and each public address once";
            faults.add(&at.place, Wrong::new(problem, remedy));
        }
    }
}
