//! What an operator is told: the JSON of the admin socket, shared by server and CLI. Data only.

mod users;

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

use crate::advertise::Advertised;
pub use crate::police::{Change, Limit};
use crate::turn::Transport;
pub use users::{LimitRequest, LimitsView, User, UserLimit};

pub type SessionId = u64;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Status {
    pub version: String,
    pub pid: u32,
    pub uptime_seconds: u64,
    /// TURN over UDP, TCP and TLS.
    pub listen: Vec<SocketAddr>,
    #[serde(default)]
    pub listen_tcp: Vec<SocketAddr>,
    #[serde(default)]
    pub listen_tls: Vec<SocketAddr>,
    /// Default ports that could not be had, and why.
    #[serde(default)]
    pub not_listening: Vec<String>,
    pub relay_addresses: Vec<IpAddr>,
    /// What a 1:1 NAT makes of local addresses.
    #[serde(default)]
    pub advertised: Vec<Advertised>,
    /// One entry a card named with `--interface`.
    pub cards: Vec<Card>,
    /// Why no session can run in the kernel, when none can.
    pub kernel_off: Option<String>,
    #[serde(default)]
    pub shield: Shield,
    /// Since it was last asked to; `None`: never.
    #[serde(default)]
    pub draining: Option<Drain>,
    pub workers: usize,
    pub allocations: u64,
    pub forwards: u64,
    pub sessions: u64,
    pub kernel_sessions: u64,
    pub kernel_capacity: u64,
    pub kernel: Traffic,
    pub userspace: Traffic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DrainPhase {
    Draining,
    Cancelled,
    /// The relay ends.
    Over,
}

/// A relay on its way out: nothing new begins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drain {
    pub phase: DrainPhase,
    pub since_seconds: u64,
    /// What is left then is ended.
    pub deadline_in_seconds: u64,
    /// It is over when so much or less is left.
    pub until: u64,
    /// What is left.
    pub allocations: u64,
    pub forward_sessions: u64,
}

impl Drain {
    pub fn left(&self) -> u64 {
        self.allocations + self.forward_sessions
    }
}

/// Body of `POST /v1/drain`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    pub deadline_seconds: u64,
    #[serde(default)]
    pub until: u64,
}

/// What floods of strangers meet.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Shield {
    /// `kernel`, `userspace` (answers only) or `off`.
    pub runs_in: String,
    /// Whom the kernel lets through more of.
    pub known: u64,
    /// Packets the kernel dropped.
    pub dropped: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Card {
    pub name: String,
    /// `native`, `generic` or `none`.
    pub mode: String,
    /// Why not a higher rung.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    pub packets: u64,
    pub bytes: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Session {
    pub id: SessionId,
    /// `turn` or `forward`.
    pub kind: String,
    /// TURN user or forward name.
    pub owner: String,
    pub client: SocketAddr,
    /// How the client's messages come.
    #[serde(default)]
    pub transport: Transport,
    /// Our address the client sends to.
    pub server: SocketAddr,
    /// Our address the peer or destination sees.
    pub relayed: SocketAddr,
    /// None: an allocation without a channel yet.
    pub peer: Option<SocketAddr>,
    pub channel: Option<u16>,
    /// `kernel` or `userspace`.
    pub runs_in: String,
    /// Why it does not run in the kernel.
    pub reason: Option<String>,
    pub expires_in_seconds: u64,
    pub age_seconds: u64,
    pub kernel_to_peer: Traffic,
    pub kernel_to_client: Traffic,
    pub userspace_to_peer: Traffic,
    pub userspace_to_client: Traffic,
    pub to_peer: Pace,
    pub to_client: Pace,
    /// Its own limit in each direction; its user may have another.
    #[serde(default)]
    pub limit: Limit,
    /// Packets over a limit, its own or its user's.
    #[serde(default)]
    pub dropped: Dropped,
    /// RTP the kernel relayed, by SSRC; the first few.
    #[serde(default)]
    pub rtp_to_peer: Vec<RtpStream>,
    #[serde(default)]
    pub rtp_to_client: Vec<RtpStream>,
    /// Datagrams dropped because the client's connection was too slow for them.
    #[serde(default)]
    pub stream_dropped: u64,
    /// Of the packets that go now; of all of them when none do.
    pub userspace_percent: u8,
    /// Set where a session of the kernel takes userspace a lot, with the likely reason.
    pub note: Option<String>,
    /// The last ICMP error about the destination of a forward session.
    #[serde(default)]
    pub trouble: Option<String>,
}

/// One direction of a session now, kernel and userspace together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Pace {
    /// Averages since the session was last looked at, at most ten seconds.
    pub packets_per_second: f64,
    /// Of application bytes.
    pub bits_per_second: f64,
    /// The part of `packets_per_second` that userspace relays.
    pub userspace_packets_per_second: f64,
    /// Exact in userspace; up to ten seconds too small for the kernel. `None`: no packet yet.
    pub last_seen_seconds: Option<u64>,
}

impl Status {
    /// Every listener as `protocol/address`.
    pub fn listeners(&self) -> Vec<String> {
        let all = [
            ("udp", &self.listen),
            ("tcp", &self.listen_tcp),
            ("tls", &self.listen_tls),
        ];
        let texts = |(protocol, addresses): (&str, &Vec<SocketAddr>)| {
            let text = |address| format!("{protocol}/{address}");
            addresses.iter().map(text).collect::<Vec<_>>()
        };
        all.into_iter().flat_map(texts).collect()
    }
}

/// Packets by the direction they would have gone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    pub to_peer: u64,
    pub to_client: u64,
}

impl From<[u64; 2]> for Dropped {
    /// From the client, and to it.
    fn from([to_peer, to_client]: [u64; 2]) -> Self {
        Self { to_peer, to_client }
    }
}

/// One SSRC of one direction: RFC 3550.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RtpStream {
    pub ssrc: u32,
    pub payload_type: u8,
    pub packets: u64,
    /// RTP headers included.
    pub bytes: u64,
    /// Expected and not received; negative where packets came twice.
    pub lost: i64,
    /// Hertz, as watched; `None`: not clear (yet).
    pub clock_rate: Option<u32>,
    pub jitter_ms: Option<f64>,
    /// Over the life of the stream.
    pub bits_per_second: f64,
}

impl Session {
    /// A session of `client` of which nothing else is known.
    pub fn blank(client: SocketAddr) -> Self {
        let none = Traffic::default();
        Self {
            id: 0,
            kind: "turn".to_owned(),
            owner: String::new(),
            client,
            transport: Transport::Udp,
            server: client,
            relayed: client,
            peer: None,
            channel: None,
            runs_in: "userspace".to_owned(),
            reason: None,
            expires_in_seconds: 0,
            age_seconds: 0,
            kernel_to_peer: none,
            kernel_to_client: none,
            userspace_to_peer: none,
            userspace_to_client: none,
            to_peer: Pace::default(),
            to_client: Pace::default(),
            limit: Limit::NONE,
            dropped: Dropped::default(),
            rtp_to_peer: Vec::new(),
            rtp_to_client: Vec::new(),
            stream_dropped: 0,
            userspace_percent: 0,
            note: None,
            trouble: None,
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ForwardView {
    pub name: String,
    pub listen: SocketAddr,
    pub to: String,
    /// Where `to` resolves now; empty with `fault` set when it does not.
    pub resolved: Vec<SocketAddr>,
    pub fault: Option<String>,
    pub allow: Vec<String>,
    pub idle_seconds: u64,
    pub max_sessions: u64,
    pub sessions: u64,
    /// Clients refused because of `allow` or `max_sessions`.
    pub refused: u64,
}

/// Query of `DELETE /v1/sessions`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KillRequest {
    /// TURN user or forward.
    pub user: String,
}

/// What an operator ended: allocations and sessions of forwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Killed {
    pub ended: u64,
}

/// Body of every admin error answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Fault {
    pub error: String,
}

/// `relay status`: the relay's own view, with what the process around it knows.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusReport {
    #[serde(flatten)]
    pub status: Status,
    pub admin_socket: String,
    /// Where `/metrics` is served; `None`: off, or see `warnings`.
    pub metrics: Option<SocketAddr>,
    /// What does not work as configured while the relay runs on.
    pub warnings: Vec<String>,
}

/// Answer of `POST /v1/reload`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// In use from now on.
    pub certificates: usize,
    /// Keys of the configuration that changed and are in use from now on.
    #[serde(default)]
    pub applied: Vec<String>,
    /// Keys of the configuration that changed and do nothing yet.
    pub needs_restart: Vec<String>,
}

/// Body of `POST /v1/forwards`; values are spelled as in the configuration.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ForwardRequest {
    pub name: Option<String>,
    /// `udp/PORT` or `udp/ADDRESS:PORT`.
    pub listen: String,
    /// `HOST:PORT`.
    pub to: String,
    #[serde(default)]
    pub allow: Vec<String>,
    /// Such as `60s`.
    pub idle: Option<String>,
    pub max_sessions: Option<usize>,
}

/// Body of `POST /v1/credentials`; answered with a list of [`IceServer`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialsRequest {
    pub user: String,
    pub ttl_seconds: u64,
    /// Host or address clients reach the relay at; `None`: the relay's own guess.
    pub host: Option<String>,
}

/// One entry of `RTCConfiguration.iceServers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: String,
    pub credential: String,
}

/// One value of `GET /v1/counters`, named as in `/metrics` without prefix and suffix.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    pub name: String,
    pub labels: std::collections::BTreeMap<String, String>,
    pub value: u64,
}
