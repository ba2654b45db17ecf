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
    let text = |text: &String| Ok::<_, Wrong>(text.clone());
    let listen = all("--listen", "listen", &flags.listen, faults, |t| {
        value::listener(t)
    });
    Raw {
        listen_udp: value::of_protocol(&listen, Protocol::Udp),
        listen_tcp: value::of_protocol(&listen, Protocol::Tcp),
        listen_tls: value::of_protocol(&listen, Protocol::Tls),
        certificates: all(
            "--certificate",
            "tls.certificate",
            &flags.certificate,
            faults,
            |t| value::certificate(t),
        ),
        relay_addresses: all(
            "--relay-address",
            "relay.addresses",
            &flags.relay_address,
            faults,
            |t| value::ip(t),
        ),
        advertise: all(
            "--advertise",
            "relay.advertise",
            &flags.advertise,
            faults,
            |t| value::advertised(t),
        ),
        relay_ports: one(
            "--relay-ports",
            "relay.ports",
            flags.relay_ports.as_ref(),
            faults,
            |t| value::ports(t),
        ),
        interfaces: all(
            "--interface",
            "kernel.interfaces",
            &flags.interface,
            faults,
            |t| value::interface(t),
        ),
        xdp: one("--xdp", "kernel.xdp", flags.xdp.as_ref(), faults, |mode| {
            Ok(*mode)
        }),
        pin_directory: one(
            "--pin-directory",
            "kernel.pin_directory",
            flags.pin_directory.as_ref(),
            faults,
            |p| Ok(p.clone()),
        ),
        realm: one("--realm", "auth.realm", flags.realm.as_ref(), faults, text),
        secrets: all("--secret", "auth.secrets", &flags.secret, faults, |t| {
            Ok(Secret::new(t.clone()))
        }),
        secret_file: one(
            "--secret-file",
            "auth.secret_file",
            flags.secret_file.as_ref(),
            faults,
            |p| Ok(p.clone()),
        ),
        users: all("--user", "auth.users", &flags.user, faults, |t| user(t)),
        peers_allow: all(
            "--allow-peer",
            "peers.allow",
            &flags.allow_peer,
            faults,
            |t| value::network(t),
        ),
        forwards: all("--forward", "forward", &flags.forward, faults, |t| {
            forward(t)
        }),
        admin_socket: one(
            "--admin-socket",
            "admin.socket",
            global.admin_socket.as_ref(),
            faults,
            |p| Ok(p.clone()),
        ),
        metrics_listen: one(
            "--metrics",
            "metrics.listen",
            flags.metrics.as_ref(),
            faults,
            |t| value::metrics(t),
        ),
        workers: one(
            "--workers",
            "workers",
            flags.workers.as_ref(),
            faults,
            |n| Ok(*n),
        ),
        log_level: one("--log", "log.level", global.log.as_ref(), faults, |t| {
            value::log_level(t)
        }),
        ..Raw::default()
    }
}

fn place(flag: &'static str, key: &str) -> Place {
    Place {
        origin: Origin::Flag(flag),
        key: key.to_owned(),
    }
}

fn one<S, T>(
    flag: &'static str,
    key: &str,
    said: Option<&S>,
    faults: &mut Faults,
    read: impl Fn(&S) -> Result<T, Wrong>,
) -> Option<At<T>> {
    said.and_then(|said| faults.keep(place(flag, key), read(said)))
}

/// A list flag that was not given says nothing.
fn all<T>(
    flag: &'static str,
    key: &str,
    said: &[String],
    faults: &mut Faults,
    read: impl Fn(&String) -> Result<T, Wrong>,
) -> Option<Vec<At<T>>> {
    let mut values = Vec::new();
    for text in said {
        values.extend(faults.keep(place(flag, key), read(text)));
    }
    (!said.is_empty()).then_some(values)
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
