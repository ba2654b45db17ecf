//! Flags of `relay serve` as the top layer of the configuration.

use std::path::PathBuf;

use clap::Args;

use super::args::Global;
use crate::config::fault::{At, Faults, Origin, Place, Wrong};
use crate::config::raw::Raw;
use crate::config::value::Protocol;
use crate::config::warning::unknown_variables;
use crate::config::{Forward, Layers, Settings, User, XdpMode, defaults, load, value};
use crate::secret::Secret;

/// A list given here replaces the list of the configuration file.
#[derive(Debug, Clone, Default, Args)]
pub struct ServeFlags {
    /// TOML file [default: /etc/relay/relay.toml if it exists]
    #[arg(
        long,
        value_name = "FILE",
        env = "RELAY_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,
    /// Card to attach the XDP program to; attaching can reset its queues for a moment
    #[arg(long, value_name = "IF")]
    pub interface: Vec<String>,
    /// How to attach
    #[arg(long, value_enum)]
    pub xdp: Option<XdpMode>,
    /// Where maps and links are pinned, on a BPF file system [default: /sys/fs/bpf/relay]
    #[arg(long, value_name = "DIR")]
    pub pin_directory: Option<PathBuf>,
    /// End what an earlier relay left running in the kernel instead of taking it over
    #[arg(long)]
    pub fresh: bool,
    /// Where TURN listens: udp/, tcp/ or tls/ in front; those not named are not opened [default: udp and tcp 3478, tls 443
    /// and 5349, of every address]
    #[arg(long, value_name = "PROTOCOL/ADDR:PORT")]
    pub listen: Vec<String>,
    /// Certificate chain and key, PEM; shown to those who ask for one of its names
    #[arg(long, value_name = "CERT:KEY")]
    pub certificate: Vec<String>,
    /// Local address of relayed transport addresses
    #[arg(long, value_name = "IP")]
    pub relay_address: Vec<String>,
    /// Public address a 1:1 NAT gives a local one
    #[arg(long, value_name = "LOCAL=PUBLIC")]
    pub advertise: Vec<String>,
    /// Ports of relayed transport addresses [default: 49152-65535]
    #[arg(long, value_name = "A-B")]
    pub relay_ports: Option<String>,
    /// Peers and destinations to allow although they are not public
    #[arg(long, value_name = "CIDR")]
    pub allow_peer: Vec<String>,
    /// Static TURN user; visible in the process list, better in the file
    #[arg(long, value_name = "NAME:PASSWORD")]
    pub user: Vec<String>,
    /// Shared secret for time-limited users; visible in the process list
    #[arg(long, value_name = "S")]
    pub secret: Vec<String>,
    /// File with one shared secret a line
    #[arg(long, value_name = "F")]
    pub secret_file: Option<PathBuf>,
    /// TURN realm [default: relay]
    #[arg(long, value_name = "R")]
    pub realm: Option<String>,
    /// Where /metrics is served, or off [default: 127.0.0.1:9478]
    #[arg(long, value_name = "ADDR|off")]
    pub metrics: Option<String>,
    /// Forward a public port
    #[arg(long, value_name = "udp/PORT=HOST:PORT")]
    pub forward: Vec<String>,
    /// What a session may send and receive in a second, such as 10M [default: anything]
    #[arg(long, value_name = "RATE")]
    pub session_bits: Option<String>,
    /// The same in packets
    #[arg(long, value_name = "N")]
    pub session_packets: Option<u64>,
    /// What all sessions of a user may together
    #[arg(long, value_name = "RATE")]
    pub user_bits: Option<String>,
    /// The same in packets
    #[arg(long, value_name = "N")]
    pub user_packets: Option<u64>,
    /// Slow-path threads [default: one per core]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
}

/// Flags over environment over file over defaults.
pub fn settings(global: &Global, flags: &ServeFlags) -> Result<Settings, Faults> {
    let mut faults = Faults::default();
    let raw = raw(global, flags, &mut faults);
    let mut settings = load(Layers {
        flags: raw,
        faults,
        environment: &|name| std::env::var(name).ok(),
        file: flags.config.as_deref(),
    })?;
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    settings.warnings.extend(unknown_variables(names));
    Ok(settings)
}

pub fn raw(global: &Global, flags: &ServeFlags, faults: &mut Faults) -> Raw {
    let mut said = Said(faults);
    let listen = said.all("--listen", "listen", &flags.listen, value::listener);
    Raw {
        listen_udp: value::of_protocol(&listen, Protocol::Udp),
        listen_tcp: value::of_protocol(&listen, Protocol::Tcp),
        listen_tls: value::of_protocol(&listen, Protocol::Tls),
        certificates: {
            let key = "tls.certificate";
            said.all("--certificate", key, &flags.certificate, value::certificate)
        },
        relay_addresses: {
            let key = "relay.addresses";
            said.all("--relay-address", key, &flags.relay_address, value::ip)
        },
        advertise: {
            let key = "relay.advertise";
            said.all("--advertise", key, &flags.advertise, value::advertised)
        },
        relay_ports: {
            let key = "relay.ports";
            said.one("--relay-ports", key, &flags.relay_ports, value::ports)
        },
        interfaces: {
            let key = "kernel.interfaces";
            said.all("--interface", key, &flags.interface, value::interface)
        },
        xdp: typed("--xdp", "kernel.xdp", &flags.xdp),
        pin_directory: typed(
            "--pin-directory",
            "kernel.pin_directory",
            &flags.pin_directory,
        ),
        realm: typed("--realm", "auth.realm", &flags.realm),
        secrets: said.all("--secret", "auth.secrets", &flags.secret, secret),
        secret_file: typed("--secret-file", "auth.secret_file", &flags.secret_file),
        users: said.all("--user", "auth.users", &flags.user, user),
        peers_allow: {
            let key = "peers.allow";
            said.all("--allow-peer", key, &flags.allow_peer, value::network)
        },
        forwards: said.all("--forward", "forward", &flags.forward, forward),
        admin_socket: typed("--admin-socket", "admin.socket", &global.admin_socket),
        metrics_listen: said.one(
            "--metrics",
            "metrics.listen",
            &flags.metrics,
            value::metrics,
        ),
        session_bits: {
            let key = "rates.session_bits";
            said.one("--session-bits", key, &flags.session_bits, value::bit_rate)
        },
        session_packets: {
            let key = "rates.session_packets";
            typed("--session-packets", key, &flags.session_packets)
        },
        user_bits: {
            let key = "rates.user_bits";
            said.one("--user-bits", key, &flags.user_bits, value::bit_rate)
        },
        user_packets: typed("--user-packets", "rates.user_packets", &flags.user_packets),
        workers: typed("--workers", "workers", &flags.workers),
        log_level: said.one("--log", "log.level", &global.log, value::log_level),
        ..Raw::default()
    }
}

fn place(flag: &'static str, key: &str) -> Place {
    Place {
        origin: Origin::Flag(flag),
        key: key.to_owned(),
    }
}

/// What clap has read already.
fn typed<T: Clone>(flag: &'static str, key: &str, said: &Option<T>) -> Option<At<T>> {
    Some(place(flag, key).of(said.clone()?))
}

/// Reads what was said, and keeps what is wrong with it.
struct Said<'f>(&'f mut Faults);

impl Said<'_> {
    fn one<T>(
        &mut self,
        flag: &'static str,
        key: &str,
        said: &Option<String>,
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<At<T>> {
        self.0.keep(place(flag, key), read(said.as_ref()?))
    }

    /// A list flag that was not given says nothing.
    fn all<T>(
        &mut self,
        flag: &'static str,
        key: &str,
        said: &[String],
        read: impl Fn(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<At<T>>> {
        let mut values = Vec::new();
        for text in said {
            values.extend(self.0.keep(place(flag, key), read(text)));
        }
        (!said.is_empty()).then_some(values)
    }
}

fn secret(text: &str) -> Result<Secret<String>, Wrong> {
    Ok(Secret::new(text.to_owned()))
}

fn user(text: &str) -> Result<User, Wrong> {
    match text.split_once(':') {
        Some((name, password)) if !name.is_empty() && !password.is_empty() => Ok(User {
            name: name.to_owned(),
            password: Secret::new(password.to_owned()),
        }),
        // The text may hold a password: it is not repeated.
        _ => Err(Wrong::new("is not a user", "write NAME:PASSWORD")),
    }
}

fn forward(text: &str) -> Result<Forward, Wrong> {
    let Some((listen, to)) = text.split_once('=') else {
        return Err(Wrong::new(
            format!("{text:?} is not a forward"),
            "write udp/PORT=HOST:PORT",
        ));
    };
    let listen = value::forward_listen(listen)?;
    Ok(Forward {
        name: defaults::forward_name(listen),
        listen,
        to: value::destination(to)?,
        allow: Vec::new(),
        idle: defaults::FORWARD_IDLE,
        max_sessions: defaults::FORWARD_SESSIONS,
    })
}
