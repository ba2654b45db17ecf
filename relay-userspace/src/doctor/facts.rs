//! What the doctor knows of a host. Data only: `None` is "could not be read", never "no".

use std::net::SocketAddr;
use std::ops::RangeInclusive;

use super::Finding;

#[derive(Debug, Clone, Default)]
pub struct Host {
    /// What was already wrong with the configuration.
    pub configuration: Vec<Finding>,
    pub kernel: Kernel,
    pub privileges: Privileges,
    /// The cards that are configured, or else every Ethernet card.
    pub cards: Vec<Card>,
    /// Whether the operator named them.
    pub cards_named: bool,
    pub forwarding: Forwarding,
    pub limits: Limits,
    pub clock: Clock,
    pub ports: Ports,
    pub firewall: Firewall,
}

#[derive(Debug, Clone, Default)]
pub struct Kernel {
    /// `6.18.44-generic`.
    pub release: String,
    /// Whether an XDP program can be loaded, or why that cannot be asked.
    pub xdp: Option<Result<bool, String>>,
    pub devmap: Option<Result<bool, String>>,
    pub btf: bool,
    /// Where a bpffs is mounted.
    pub bpffs: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Privileges {
    pub uid: u32,
    /// `CapEff`.
    pub effective: u64,
}

#[derive(Debug, Clone, Default)]
pub struct Card {
    pub name: String,
    /// False: there is no such interface, and nothing else of it is known.
    pub exists: bool,
    pub up: bool,
    pub mtu: u32,
    /// `virtio_net`, `ixgbe`; of a virtual card its kind (`veth`, `bridge`).
    pub driver: Option<String>,
    /// Bits of `enum netdev_xdp_act`, since 6.3.
    pub xdp_features: Option<u64>,
    /// How a program is attached now.
    pub attached: Option<Attached>,
    /// Offloads that are on, by ethtool's names.
    pub features: Option<Vec<String>>,
    /// The stricter of `all` and the card's own.
    pub rp_filter: Option<u32>,
    /// 1: router advertisements are obeyed unless this host forwards; 2: always.
    pub accept_ra: Option<u32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attached {
    Native,
    Generic,
    Offloaded,
}

#[derive(Debug, Clone, Default)]
pub struct Forwarding {
    pub v4: Option<bool>,
    pub v6: Option<bool>,
}

#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// Hard limit of open files: the relay raises the soft one to it.
    pub open_files: Option<u64>,
    /// Sockets the configuration may need.
    pub sockets_wanted: u64,
    pub locked_memory: Option<u64>,
}

#[derive(Debug, Clone, Default)]
pub struct Clock {
    pub synchronised: Option<bool>,
    /// `tsc`, `kvm-clock`.
    pub source: Option<String>,
    /// `CONFIG_HZ`.
    pub jiffies_per_second: Option<u32>,
}

#[derive(Debug, Clone, Default)]
pub struct Ports {
    /// Where TURN and forwards listen, and what for.
    pub listen: Vec<(String, SocketAddr)>,
    pub doors: Vec<Door>,
    pub relay: Option<RangeInclusive<u16>>,
    /// UDP sockets of this network namespace.
    pub bound: Vec<Bound>,
    /// TCP sockets that listen here.
    pub bound_tcp: Vec<Bound>,
    /// The relay that runs here, by its admin socket.
    pub relay_pid: Option<u32>,
    pub ephemeral: Option<RangeInclusive<u16>>,
    /// `ip_local_reserved_ports`.
    pub reserved: Vec<RangeInclusive<u16>>,
}

/// A TCP port that is wanted.
#[derive(Debug, Clone)]
pub struct Door {
    /// `tcp` or `tls`.
    pub protocol: &'static str,
    pub address: SocketAddr,
    /// Without it the relay does not start.
    pub needed: bool,
}

#[derive(Debug, Clone)]
pub struct Bound {
    pub address: SocketAddr,
    /// Process id and name, if it may be seen.
    pub owner: Option<(u32, String)>,
}

/// The chains a datagram for this host passes, of nftables or of iptables.
#[derive(Debug, Clone, Default)]
pub struct Firewall {
    pub chains: Vec<Chain>,
    /// What could not be read, and why.
    pub unread: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// `inet filter` or `iptables filter`.
    pub table: String,
    pub name: String,
    /// Where it is hooked in with which priority; `None`: only jumped to.
    pub hook: Option<(String, i64)>,
    pub policy_drops: bool,
    pub rules: Vec<Rule>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    pub conditions: Vec<Condition>,
    pub action: Action,
    /// As the tool prints it.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Only this transport protocol.
    Protocol(String),
    /// Only these destination ports; the flag inverts.
    Ports(Vec<RangeInclusive<u16>>, bool),
    /// Only packets that come in by one of these cards; the flag inverts.
    Card(Vec<String>, bool),
    /// Only packets of a connection in these states.
    ConnectionState(Vec<String>),
    /// Something the doctor does not judge, such as a source address.
    Other,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    Accept,
    Drop,
    Jump(String),
    Goto(String),
    Return,
    /// Counts, logs, marks: goes on.
    Nothing,
}
