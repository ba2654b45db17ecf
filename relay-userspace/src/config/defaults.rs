//! What holds when nothing is said: numbers, and where files live for root, for a service manager and for anyone else.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use super::{
    Admin, Auth, Config, Drain, Events, Kernel, Limits, Listen, Log, LogFormat, Metrics, Peers,
    PublicApi, RelayAddresses, Shield, Signaling, Stream, Tls, Turn, XdpMode, rates,
};

/// Read when it exists and `--config` is not given.
pub const CONFIG_FILE: &str = "/etc/relay/relay.toml";
pub const PIN_DIRECTORY: &str = "/sys/fs/bpf/relay";
pub const TURN_PORT: u16 = 3478;
/// The one firewalls let through, and that of RFC 7065 §3.1.
pub const TLS_PORTS: [u16; 2] = [443, 5349];
pub const METRICS_PORT: u16 = 9478;
pub const REALM: &str = "relay";
pub const FORWARD_IDLE: Duration = Duration::from_secs(60);
pub const FORWARD_SESSIONS: usize = 1000;

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: Listen {
                udp: everywhere(TURN_PORT).to_vec(),
                tcp: everywhere(TURN_PORT).to_vec(),
                tls: TLS_PORTS.map(everywhere).concat(),
                proxy_protocol_from: Vec::new(),
            },
            tls: Tls::default(),
            stream: Stream::default(),
            turn: Turn::default(),
            relay: RelayAddresses {
                addresses: Vec::new(),
                advertise: Vec::new(),
                ports: 49152..=65535,
            },
            kernel: Kernel {
                interfaces: Vec::new(),
                xdp: XdpMode::Auto,
                max_sessions: 65_536,
                pin_directory: PathBuf::from(PIN_DIRECTORY),
            },
            auth: Auth::default(),
            peers: Peers::default(),
            limits: Limits::default(),
            rates: rates::default(),
            shield: Shield::default(),
            forwards: Vec::new(),
            admin: Admin {
                socket: admin_socket(),
            },
            metrics: Metrics {
                listen: Some((Ipv4Addr::LOCALHOST, METRICS_PORT).into()),
            },
            signaling: Signaling::default(),
            api: PublicApi::default(),
            drain: Drain::default(),
            events: Events::default(),
            workers: 0,
            survive: true,
        }
    }
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            realm: REALM.to_owned(),
            secrets: Vec::new(),
            shared: Vec::new(),
            users: Vec::new(),
            hook: None,
            jwt: None,
            strict_expiry: false,
        }
    }
}

impl Default for Stream {
    fn default() -> Self {
        Self {
            max_queue_bytes: 512 << 10,
            max_queue_age: Duration::from_millis(200),
            setup_timeout: Duration::from_secs(15),
            handshakes_per_second: 200,
            max_waiting: 8192,
            // An office behind one NAT that reconnects at once finds room.
            max_waiting_per_prefix: 256,
        }
    }
}

impl Default for Turn {
    fn default() -> Self {
        Self {
            mobility: true,
            behavior_discovery: None,
            alternates: Vec::new(),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            allocations: 100_000,
            allocations_per_user: 1000,
            permissions_per_allocation: 256,
            channels_per_allocation: 256,
            permissions_per_user: None,
            channels_per_user: None,
            permissions: None,
            channels: None,
            max_lifetime: Duration::from_secs(3600),
            unauthenticated_per_second: 500,
        }
    }
}

impl Default for Shield {
    fn default() -> Self {
        Self {
            enabled: true,
            strangers_per_prefix: 2000,
            strangers_per_cpu: 20_000,
            junk_per_prefix: 200,
            junk_per_cpu: 2000,
            closed_ports_per_cpu: 100_000,
            client_address: 5000,
            session: 100_000,
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}

/// A port of every address.
pub fn everywhere(port: u16) -> [SocketAddr; 2] {
    [
        (Ipv4Addr::UNSPECIFIED, port).into(),
        (Ipv6Addr::UNSPECIFIED, port).into(),
    ]
}

/// `udp-5004`, or `udp-192.0.2.1-5004` when it listens on one address only.
pub fn forward_name(listen: SocketAddr) -> String {
    if listen.ip().is_unspecified() {
        return format!("udp-{}", listen.port());
    }
    let address = listen.ip().to_string().replace(':', "-");
    format!("udp-{address}-{}", listen.port())
}

/// The service manager's runtime directory, `/run/relay` for root, else the user's own runtime directory.
pub fn admin_socket() -> PathBuf {
    directory("RUNTIME_DIRECTORY")
        .unwrap_or_else(|| {
            if nix::unistd::geteuid().is_root() {
                return PathBuf::from("/run/relay");
            }
            match absolute("XDG_RUNTIME_DIR") {
                Some(user) => user.join("relay"),
                None => std::env::temp_dir().join(format!("relay-{}", nix::unistd::geteuid())),
            }
        })
        .join("admin.sock")
}

/// Where a generated secret is kept: it must survive a restart, else every credential handed out dies with it.
pub fn state_directory() -> Option<PathBuf> {
    if let Some(managed) = directory("STATE_DIRECTORY") {
        return Some(managed);
    }
    if nix::unistd::geteuid().is_root() {
        return Some(PathBuf::from("/var/lib/relay"));
    }
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("relay"))
}

/// Where a relay keeps what the next one has to know.
pub fn journal() -> Option<PathBuf> {
    state_directory().map(|directory| directory.join("journal.log"))
}

/// systemd passes several directories separated by colons; the first is ours.
fn directory(variable: &str) -> Option<PathBuf> {
    let all = std::env::var(variable).ok()?;
    let first = PathBuf::from(all.split(':').next()?);
    first.is_absolute().then_some(first)
}

fn absolute(variable: &str) -> Option<PathBuf> {
    let path = PathBuf::from(std::env::var_os(variable)?);
    path.is_absolute().then_some(path)
}
