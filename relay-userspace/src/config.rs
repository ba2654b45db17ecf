//! What the operator asked for, validated. Data only: reading and fault reports live in `config/`.

mod accounts;
mod auth_hook;
mod auth_jwt;
pub mod defaults;
mod drain;
mod env;
mod events;
pub mod fault;
pub(crate) mod file;
mod load;
mod public_api;
mod rates;
pub mod raw;
mod reader;
pub mod show;
mod signaling;
pub(crate) mod validate;
pub mod value;
pub mod warning;

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

pub use accounts::{Caps, SharedSecrets, UNNAMED};
pub use auth_hook::Hook;
pub use auth_jwt::{Jwt, JwtKey};
pub use drain::Drain;
pub use fault::{Fault, Faults};
#[cfg(test)]
pub(crate) use load::tests::read as read_text;
pub use load::{Layers, load};
pub use public_api::{ApiKey, PublicApi};
pub use signaling::{HostHeader, Route, Signaling};
pub use validate::forward_limits;

use crate::advertise::Advertised;
use crate::events::webhook::Webhook;
use crate::police;
use crate::secret::Secret;
use crate::tls::CertificateFiles;
use crate::turn::Alternate;

/// A validated configuration, with what only the process around the relay needs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub config: Config,
    pub log: Log,
    /// The file that was read, if any.
    pub file: Option<PathBuf>,
    /// What was read, but for certificates: the configuration and the files of secrets it names.
    pub files: Vec<PathBuf>,
    /// What is allowed, but hardly meant.
    pub warnings: Vec<fault::Wrong>,
}

/// Everything `relay serve` needs. Every field has a working default.
#[derive(Debug, Clone)]
pub struct Config {
    pub listen: Listen,
    pub tls: Tls,
    pub stream: Stream,
    pub turn: Turn,
    pub relay: RelayAddresses,
    pub kernel: Kernel,
    pub auth: Auth,
    pub peers: Peers,
    pub limits: Limits,
    /// What may pass in a second. Default: anything.
    pub rates: police::Limits,
    pub shield: Shield,
    pub forwards: Vec<Forward>,
    pub admin: Admin,
    pub metrics: Metrics,
    pub signaling: Signaling,
    pub api: PublicApi,
    pub drain: Drain,
    pub events: Events,
    /// Slow-path threads; 0 = one per core.
    pub workers: usize,
    /// Whether sessions outlive the process, until the next one takes them over. Default true.
    pub survive: bool,
}

#[derive(Debug, Clone)]
pub struct Listen {
    /// TURN over UDP. Default `0.0.0.0:3478` and `[::]:3478`.
    pub udp: Vec<SocketAddr>,
    /// TURN over TCP. Default as UDP. What speaks TLS there is served as well.
    pub tcp: Vec<SocketAddr>,
    /// TURN over TLS. Default port 443 and 5349 of every address. What speaks TURN without TLS there is served as well.
    pub tls: Vec<SocketAddr>,
    /// Balancers: their connections begin with a PROXY protocol header, and only theirs.
    pub proxy_protocol_from: Vec<IpNet>,
}

#[derive(Debug, Clone, Default)]
pub struct Tls {
    /// By the names in them; the first one is shown to whoever asks for another. Empty: one made by the relay.
    pub certificates: Vec<CertificateFiles>,
}

/// Of clients on TCP and TLS.
#[derive(Debug, Clone)]
pub struct Stream {
    /// Data that waits for one client; default 512 KiB.
    pub max_queue_bytes: usize,
    /// Until when it is worth sending; default 200 ms.
    pub max_queue_age: Duration,
    /// Until when a connection must have an allocation; default 15 s.
    pub setup_timeout: Duration,
    /// TLS handshakes begun in a second by one source prefix; default 200.
    pub handshakes_per_second: u32,
    /// Connections without one, in all; default 8192.
    pub max_waiting: usize,
    /// The same of one source prefix; default 256.
    pub max_waiting_per_prefix: u32,
}

#[derive(Debug, Clone)]
pub struct RelayAddresses {
    /// Local addresses relayed transport addresses are taken from (at most one of each family is used today).
    /// Empty: the address the client contacted, else the address of the default route.
    pub addresses: Vec<IpAddr>,
    /// Where a 1:1 NAT stands before them.
    pub advertise: Vec<Advertised>,
    /// Ports for relayed transport addresses and forward sessions. Default 49152..=65535.
    pub ports: RangeInclusive<u16>,
}

#[derive(Debug, Clone)]
pub struct Kernel {
    /// Cards the XDP program is attached to. Empty: userspace only.
    pub interfaces: Vec<String>,
    pub xdp: XdpMode,
    /// Sessions the kernel tables have room for. Default 65536.
    pub max_sessions: u32,
    /// Where maps and links are pinned. Default `/sys/fs/bpf/relay`.
    pub pin_directory: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum XdpMode {
    /// Native, else generic, else none.
    #[default]
    Auto,
    /// In the driver
    Native,
    /// In the stack, slower: where the driver has no XDP
    Generic,
    /// Everything in userspace
    Off,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    pub realm: String,
    /// Shared secrets of the "TURN REST" convention; any of them is accepted, the first one mints.
    pub secrets: Vec<Secret<String>>,
    /// More of them, each group with a name and limits of its own.
    pub shared: Vec<SharedSecrets>,
    pub users: Vec<User>,
    /// Who else is asked about users.
    pub hook: Option<Hook>,
    /// Whose tokens the API believes.
    pub jwt: Option<Jwt>,
    /// Whether sessions end with the credential that made them. Default false: an allocation may be refreshed after.
    pub strict_expiry: bool,
}

impl Auth {
    /// Nobody could use the relay.
    pub fn is_empty(&self) -> bool {
        let own = self.secrets.is_empty() && self.shared.is_empty() && self.users.is_empty();
        own && self.hook.is_none()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub password: Secret<String>,
}

/// What of TURN is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Turn {
    /// Whether allocations may follow their client (RFC 8016); default true.
    pub mobility: bool,
    /// Two addresses of this host that differ in IP and port: Binding requests are answered from their four pairs
    /// (RFC 5780). Default none.
    pub behavior_discovery: Option<[SocketAddr; 2]>,
    /// Where clients are sent while the relay drains. Default none.
    pub alternates: Vec<Alternate>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Events {
    pub webhooks: Vec<Webhook>,
}

/// Which peers and destinations may be reached: public addresses, plus `allow`, minus `deny`.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    pub allow: Vec<IpNet>,
    pub deny: Vec<IpNet>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Allocations in all. Default 100_000.
    pub allocations: usize,
    /// Allocations of one user; default 1000. Beyond it: 486.
    pub allocations_per_user: usize,
    /// Permissions of one allocation; default 256. Channels of one allocation; default 256.
    pub permissions_per_allocation: usize,
    pub channels_per_allocation: usize,
    /// Of all allocations of one user; beyond them: 508. Default: no more than their allocations may have.
    pub permissions_per_user: Option<usize>,
    pub channels_per_user: Option<usize>,
    /// In all; beyond them: 508.
    pub permissions: Option<usize>,
    pub channels: Option<usize>,
    /// Longest allocation lifetime granted; default 3600 s.
    pub max_lifetime: Duration,
    /// Answers to unauthenticated requests per second and source prefix (v4 /24, v6 /48), or address of a client;
    /// default 500.
    pub unauthenticated_per_second: u32,
}

/// What the kernel passes up to userspace of packets to the relay's ports, in packets per second. The defaults are
/// argued for in `docs/decisions/0009-shield.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shield {
    pub enabled: bool,
    /// Of strangers that may begin something (STUN, a forward's first packet), per /24 or /56; default 2000.
    pub strangers_per_prefix: u32,
    /// Of all of them on one CPU; default 20_000. Userspace answers no more of them in all.
    pub strangers_per_cpu: u32,
    /// Of what only known clients and peers send, or nobody, per /24 or /56; default 200.
    pub junk_per_prefix: u32,
    /// Of all of it on one CPU; default 2000.
    pub junk_per_cpu: u32,
    /// To ports of `relay.ports` that nobody uses, on one CPU; default 100_000. What is for a socket always passes.
    pub closed_ports_per_cpu: u32,
    /// STUN from other ports of a client's address; default 5000.
    pub client_address: u32,
    /// One client's connection, a permitted peer, a forward's client; default 100_000.
    pub session: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Forward {
    pub name: String,
    pub listen: SocketAddr,
    pub to: Destination,
    /// Clients that may use it; empty: anyone.
    pub allow: Vec<IpNet>,
    pub idle: Duration,
    pub max_sessions: usize,
}

/// `HOST:PORT` where HOST is an address or a DNS name, re-resolved while in use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Destination {
    /// An IPv6 address stands without its brackets.
    pub host: String,
    pub port: u16,
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[derive(Debug, Clone)]
pub struct Admin {
    /// Default `/run/relay/admin.sock` (root), else `$XDG_RUNTIME_DIR/relay/admin.sock`.
    pub socket: PathBuf,
}

#[derive(Debug, Clone)]
pub struct Metrics {
    /// Default `127.0.0.1:9478`; `None` turns it off.
    pub listen: Option<SocketAddr>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Level or `tracing` filter directives. Default `info`.
    pub level: String,
    pub format: LogFormat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    #[default]
    Text,
    Json,
}
