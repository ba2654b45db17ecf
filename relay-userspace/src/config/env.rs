//! The environment as one layer: `RELAY_*` for the main keys. Lists are separated by commas.

use std::path::PathBuf;

use super::drain;
use super::fault::{At, Faults, Origin, Place, Wrong};
use super::raw::Raw;
use super::value::{self, Protocol};
use crate::secret::Secret;

/// Names the environment; a test gives its own.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Every variable that is read here.
pub const NAMES: [&str; 23] = [
    "RELAY_ADVERTISE",
    "RELAY_LISTEN",
    "RELAY_PROXY_PROTOCOL_FROM",
    "RELAY_CERTIFICATES",
    "RELAY_ADDRESSES",
    "RELAY_PORTS",
    "RELAY_PIN_DIRECTORY",
    "RELAY_INTERFACES",
    "RELAY_XDP",
    "RELAY_MAX_SESSIONS",
    "RELAY_REALM",
    "RELAY_SECRET",
    "RELAY_SECRET_FILE",
    "RELAY_ALLOW_PEERS",
    "RELAY_DENY_PEERS",
    "RELAY_ALTERNATE_SERVERS",
    "RELAY_DRAIN_ON_STOP",
    "RELAY_ADMIN_SOCKET",
    "RELAY_METRICS",
    "RELAY_WORKERS",
    "RELAY_SURVIVE",
    "RELAY_LOG",
    "RELAY_LOG_FORMAT",
];

pub fn read(environment: Environment<'_>, faults: &mut Faults) -> Raw {
    let mut layer = Layer {
        environment,
        faults,
    };
    let listen = layer.list("RELAY_LISTEN", "listen", value::listener);
    Raw {
        listen_udp: value::of_protocol(&listen, Protocol::Udp),
        listen_tcp: value::of_protocol(&listen, Protocol::Tcp),
        listen_tls: value::of_protocol(&listen, Protocol::Tls),
        proxy_protocol_from: layer.list(
            "RELAY_PROXY_PROTOCOL_FROM",
            "listen.proxy_protocol_from",
            value::network,
        ),
        certificates: layer.list("RELAY_CERTIFICATES", "tls.certificate", value::certificate),
        relay_addresses: layer.list("RELAY_ADDRESSES", "relay.addresses", value::ip),
        advertise: layer.list("RELAY_ADVERTISE", "relay.advertise", value::advertised),
        relay_ports: layer.one("RELAY_PORTS", "relay.ports", value::ports),
        interfaces: layer.list("RELAY_INTERFACES", "kernel.interfaces", value::interface),
        xdp: layer.one("RELAY_XDP", "kernel.xdp", value::xdp),
        max_sessions: layer.one("RELAY_MAX_SESSIONS", "kernel.max_sessions", value::number),
        pin_directory: layer.one("RELAY_PIN_DIRECTORY", "kernel.pin_directory", |text| {
            Ok(PathBuf::from(text))
        }),
        realm: layer.one("RELAY_REALM", "auth.realm", |text| Ok(text.to_owned())),
        secrets: layer.list("RELAY_SECRET", "auth.secrets", |text| {
            Ok(Secret::new(text.to_owned()))
        }),
        secret_file: layer.one("RELAY_SECRET_FILE", "auth.secret_file", |text| {
            Ok(PathBuf::from(text))
        }),
        peers_allow: layer.list("RELAY_ALLOW_PEERS", "peers.allow", value::network),
        peers_deny: layer.list("RELAY_DENY_PEERS", "peers.deny", value::network),
        alternates: layer.list(
            "RELAY_ALTERNATE_SERVERS",
            "turn.alternate_servers",
            drain::alternate,
        ),
        drain_on_stop: layer.one("RELAY_DRAIN_ON_STOP", "drain.on_stop", value::duration),
        admin_socket: layer.one("RELAY_ADMIN_SOCKET", "admin.socket", |text| {
            Ok(PathBuf::from(text))
        }),
        metrics_listen: layer.one("RELAY_METRICS", "metrics.listen", value::metrics),
        workers: layer.one("RELAY_WORKERS", "workers", value::number),
        survive: layer.one("RELAY_SURVIVE", "survive", value::boolean),
        log_level: layer.one("RELAY_LOG", "log.level", value::log_level),
        log_format: layer.one("RELAY_LOG_FORMAT", "log.format", value::log_format),
        ..Raw::default()
    }
}

struct Layer<'a, 'f> {
    environment: Environment<'a>,
    faults: &'f mut Faults,
}

impl Layer<'_, '_> {
    /// An empty variable counts as unset: that is how units and compose files switch one off.
    fn text(&self, name: &'static str, key: &str) -> Option<(String, Place)> {
        let text = (self.environment)(name).filter(|text| !text.trim().is_empty())?;
        let place = Place {
            origin: Origin::Env(name),
            key: key.to_owned(),
        };
        Some((text, place))
    }

    fn one<T>(
        &mut self,
        name: &'static str,
        key: &str,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<At<T>> {
        let (text, place) = self.text(name, key)?;
        self.faults.keep(place, read(&text))
    }

    fn list<T>(
        &mut self,
        name: &'static str,
        key: &str,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<At<T>>> {
        let (text, place) = self.text(name, key)?;
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        let faults = &mut *self.faults;
        Some(
            items
                .filter_map(|item| faults.keep(place.clone(), read(item)))
                .collect(),
        )
    }
}
