//! Reads the facts of this host. Judges nothing, changes nothing; what cannot be read is `None`.

mod adjtimex;
mod cards;
mod firewall;
mod genetlink;
pub(super) mod iptables;
pub(super) mod nftables;
mod sockets;

use std::net::SocketAddr;
use std::path::Path;

use aya::maps::MapType;
use aya::programs::ProgramType;
use nix::sys::resource::{Resource, getrlimit};

use super::Finding;
use super::facts::{Clock, Door, Forwarding, Host, Kernel, Limits, Ports, Privileges};
use crate::config::{self, Config};

/// What the relay is going to be, or is.
pub struct Plan {
    pub config: Config,
    /// What is wrong with the configuration itself.
    pub configuration: Vec<Finding>,
    /// Of the relay that answers on the admin socket.
    pub relay_pid: Option<u32>,
}

pub async fn host(plan: Plan) -> Host {
    let config = &plan.config;
    Host {
        kernel: kernel(),
        privileges: privileges(),
        cards: cards::read(&config.kernel.interfaces).await,
        cards_named: !config.kernel.interfaces.is_empty(),
        forwarding: Forwarding {
            v4: flag("/proc/sys/net/ipv4/ip_forward"),
            v6: flag("/proc/sys/net/ipv6/conf/all/forwarding"),
        },
        limits: limits(config),
        clock: clock(),
        ports: ports(config, plan.relay_pid),
        firewall: firewall::read(),
        configuration: plan.configuration,
    }
}

fn kernel() -> Kernel {
    let why = |error: &dyn std::fmt::Display| Err(error.to_string());
    Kernel {
        release: text("/proc/sys/kernel/osrelease").unwrap_or_default(),
        xdp: Some(aya::sys::is_program_supported(ProgramType::Xdp).or_else(|error| why(&error))),
        devmap: Some(aya::sys::is_map_supported(MapType::DevMap).or_else(|error| why(&error))),
        btf: Path::new("/sys/kernel/btf/vmlinux").exists(),
        bpffs: bpffs(&text("/proc/self/mountinfo").unwrap_or_default()),
    }
}

/// Fifth field: where it is mounted; after the dash: what it is.
fn bpffs(mountinfo: &str) -> Vec<String> {
    let mounts = mountinfo.lines().filter(|line| line.contains(" - bpf "));
    mounts
        .filter_map(|line| line.split(' ').nth(4))
        .map(str::to_owned)
        .collect()
}

fn privileges() -> Privileges {
    let status = text("/proc/self/status").unwrap_or_default();
    let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    Privileges {
        uid: nix::unistd::geteuid().as_raw(),
        effective: effective
            .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
            .unwrap_or(0),
    }
}

fn limits(config: &Config) -> Limits {
    let hard = |resource| getrlimit(resource).ok().map(|(_, hard)| hard);
    let relay_ports = config.relay.ports.len() as u64;
    let forwards: usize = config
        .forwards
        .iter()
        .map(|forward| forward.max_sessions)
        .sum();
    Limits {
        open_files: hard(Resource::RLIMIT_NOFILE),
        // A relay port each: there are never more sockets than ports.
        sockets_wanted: (config.limits.allocations as u64 + forwards as u64).min(relay_ports),
        locked_memory: hard(Resource::RLIMIT_MEMLOCK),
    }
}

fn clock() -> Clock {
    let release = text("/proc/sys/kernel/osrelease").unwrap_or_default();
    let build = text(&format!("/boot/config-{release}"));
    let hz = build.and_then(|build| {
        build
            .lines()
            .find_map(|line| line.strip_prefix("CONFIG_HZ=")?.parse().ok())
    });
    Clock {
        synchronised: adjtimex::synchronised(),
        source: text("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
        jiffies_per_second: hz,
    }
}

fn ports(config: &Config, relay_pid: Option<u32>) -> Ports {
    let turn = config
        .listen
        .udp
        .iter()
        .map(|address| ("TURN".to_owned(), *address));
    let forwards = config
        .forwards
        .iter()
        .map(|forward| (format!("forward {}", forward.name), forward.listen));
    let listen: Vec<(String, SocketAddr)> = turn.chain(forwards).collect();
    let wanted = |port: u16| {
        config.relay.ports.contains(&port)
            || listen.iter().any(|(_, address)| address.port() == port)
    };
    let doors = doors(&config.listen);
    let door = |port: u16| doors.iter().any(|door| door.address.port() == port);
    Ports {
        bound: sockets::read(sockets::UDP, wanted),
        bound_tcp: sockets::read(sockets::LISTENING, door),
        relay: Some(config.relay.ports.clone()),
        relay_pid,
        ephemeral: text("/proc/sys/net/ipv4/ip_local_port_range").and_then(|text| {
            let mut ends = text.split_whitespace().map(str::parse);
            Some(ends.next()?.ok()?..=ends.next()?.ok()?)
        }),
        reserved: ranges(&text("/proc/sys/net/ipv4/ip_local_reserved_ports").unwrap_or_default()),
        listen,
        doors,
    }
}

fn doors(listen: &config::Listen) -> Vec<Door> {
    let default = Config::default().listen;
    let all = [
        ("tcp", &listen.tcp, default.tcp),
        ("tls", &listen.tls, default.tls),
    ];
    let of = |(protocol, wanted, default): (&'static str, &Vec<SocketAddr>, Vec<SocketAddr>)| {
        let needed = *wanted != default;
        let door = |address: &SocketAddr| Door {
            protocol,
            address: *address,
            needed,
        };
        wanted.iter().map(door).collect::<Vec<_>>()
    };
    all.into_iter().flat_map(of).collect()
}

/// `3478,49152-65535`.
fn ranges(text: &str) -> Vec<std::ops::RangeInclusive<u16>> {
    let range = |item: &str| {
        let (start, end) = item.split_once('-').unwrap_or((item, item));
        Some(start.trim().parse().ok()?..=end.trim().parse().ok()?)
    };
    text.split(',').filter_map(range).collect()
}

fn flag(path: &str) -> Option<bool> {
    text(path).map(|text| text != "0")
}

fn number(path: &str) -> Option<u32> {
    text(path)?.parse().ok()
}

fn text(path: &str) -> Option<String> {
    std::fs::read_to_string(path)
        .ok()
        .map(|text| text.trim().to_owned())
}
