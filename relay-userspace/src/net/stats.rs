//! What the slow path counts. Each worker has its own cells and is their only writer.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::icmp::IcmpError;
use crate::relay::{Kind, Sample};

macro_rules! stats {
    ($($stat:ident = $kind:ident $name:literal $(, $label:ident = $value:literal)?;)*) => {
        /// One number of a worker.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Stat { $($stat,)* }

        impl Stat {
            pub const ALL: &[Stat] = &[$(Stat::$stat,)*];

            fn sample(self, value: u64) -> Sample {
                match self {
                    $(Stat::$stat => Sample { name: $name.to_string(), labels: vec![$((stringify!($label), $value.to_string()))?], value, kind: Kind::$kind },)*
                }
            }
        }
    };
}

stats! {
    PacketsToPeer = Counter "userspace_packets", direction = "to_peer";
    PacketsToClient = Counter "userspace_packets", direction = "to_client";
    BytesToPeer = Counter "userspace_bytes", direction = "to_peer";
    BytesToClient = Counter "userspace_bytes", direction = "to_client";
    SendRefused = Counter "send_errors", kind = "refused";
    SendUnreachable = Counter "send_errors", kind = "unreachable";
    SendTooBig = Counter "send_errors", kind = "too_big";
    SendNoBuffers = Counter "send_errors", kind = "no_buffers";
    SendNotPermitted = Counter "send_errors", kind = "not_permitted";
    SendWouldBlock = Counter "send_errors", kind = "would_block";
    SendInvalid = Counter "send_errors", kind = "invalid";
    SendOther = Counter "send_errors", kind = "other";
    IcmpTooBig = Counter "icmp_received", kind = "too_big";
    IcmpUnreachable = Counter "icmp_received", kind = "unreachable";
    IcmpTimeExceeded = Counter "icmp_received", kind = "time_exceeded";
    IcmpOther = Counter "icmp_received", kind = "other";
    IcmpTold = Counter "forward_icmp", outcome = "told";
    IcmpUntoldRate = Counter "forward_icmp", outcome = "rate";
    IcmpUntoldFailed = Counter "forward_icmp", outcome = "failed";
    IcmpUntoldUnknown = Counter "forward_icmp", outcome = "no_session";
    ReceiveRefused = Counter "receive_errors", kind = "refused";
    ReceiveUnreachable = Counter "receive_errors", kind = "unreachable";
    ReceiveTooBig = Counter "receive_errors", kind = "too_big";
    ReceiveOther = Counter "receive_errors", kind = "other";
    DroppedNoDestinationAddress = Counter "userspace_dropped", reason = "no_destination_address";
    DroppedNotFromDestination = Counter "userspace_dropped", reason = "not_from_destination";
    DroppedExpired = Counter "userspace_dropped", reason = "expired";
    DroppedNotPermitted = Counter "userspace_dropped", reason = "not_permitted";
    DroppedHopLimit = Counter "userspace_dropped", reason = "hop_limit";
    DroppedOverLimit = Counter "userspace_dropped", reason = "rate_limited";
    DroppedNoSocket = Counter "userspace_dropped", reason = "no_socket";
    DroppedFormerPath = Counter "userspace_dropped", reason = "former_path";
    DroppedStreamQueue = Counter "userspace_dropped", reason = "stream_queue";
    FormerPath = Counter "former_path_messages";
    StreamTcp = Counter "stream_accepted", protocol = "turn_tcp";
    StreamTls = Counter "stream_accepted", protocol = "turn_tls";
    StreamHttp = Counter "stream_accepted", protocol = "http";
    StreamRefusedTotal = Counter "stream_refused", reason = "half_open_total";
    StreamRefusedPrefix = Counter "stream_refused", reason = "half_open_prefix";
    StreamRefusedHandshakes = Counter "stream_refused", reason = "handshake_rate";
    StreamRefusedProxyHeader = Counter "stream_refused", reason = "proxy_header";
    StreamRefusedHandshake = Counter "stream_refused", reason = "tls_handshake";
    StreamRefusedUnknown = Counter "stream_refused", reason = "unknown_protocol";
    StreamRefusedSlow = Counter "stream_refused", reason = "too_slow";
    StreamEndedByClient = Counter "stream_ended", reason = "client";
    StreamEndedMalformed = Counter "stream_ended", reason = "malformed";
    StreamEndedIdle = Counter "stream_ended", reason = "no_allocation";
    StreamEndedBroken = Counter "stream_ended", reason = "broken";
    Panics = Counter "worker_panics";
    AnsweredBeforeCommit = Counter "answered_before_commit";
    RelayBindFailed = Counter "relay_bind_failures";
    ForwardOpened = Counter "forward_sessions_opened";
    ForwardEnded = Counter "forward_sessions_ended";
    ForwardRefusedAllow = Counter "forward_refused", reason = "allow_list";
    ForwardRefusedFull = Counter "forward_refused", reason = "max_sessions";
    ForwardRefusedRate = Counter "forward_refused", reason = "rate";
    ForwardRefusedNoPort = Counter "forward_refused", reason = "no_port";
    ForwardRefusedNoTarget = Counter "forward_refused", reason = "no_address";
    ForwardRefusedDraining = Counter "forward_refused", reason = "draining";
    StreamConnections = Gauge "stream_connections";
    Allocations = Gauge "allocations";
    ForwardSessions = Gauge "forward_sessions";
    ChannelSessions = Gauge "channel_sessions";
}

/// Every name above with what it means, for the registry of metrics.
pub const DESCRIPTIONS: &[(&str, &str)] = &[
    (
        "userspace_packets",
        "Datagrams relayed by userspace, by direction.",
    ),
    (
        "userspace_bytes",
        "Application bytes relayed by userspace, by direction.",
    ),
    (
        "send_errors",
        "Datagrams the kernel did not take from userspace, by kind. Nothing else is affected.",
    ),
    (
        "icmp_received",
        "ICMP errors about relayed datagrams and answers, by kind; those of our own links included.",
    ),
    (
        "forward_icmp",
        "ICMP errors about datagrams of forwards, by whether the client was told. failed: see CAP_NET_RAW.",
    ),
    (
        "receive_errors",
        "Calls to receive that failed once because an ICMP error had come, by kind; the error itself is in icmp_received.",
    ),
    (
        "userspace_dropped",
        "Received datagrams userspace did not relay, by reason; TURN refusals are counted by the TURN server.",
    ),
    (
        "former_path_messages",
        "Data that clients sent by a path they had left, passed on to the worker that has their allocation now.",
    ),
    (
        "stream_accepted",
        "Connections by what they turned out to speak.",
    ),
    (
        "stream_refused",
        "Connections closed before they spoke any protocol, by reason.",
    ),
    (
        "stream_ended",
        "TURN connections ended, by reason. broken: a fault of the network, or answers nobody read.",
    ),
    (
        "worker_panics",
        "Faults of the program itself, survived by dropping what was being handled. Any is worth a report.",
    ),
    (
        "answered_before_commit",
        "Answers that left before the journal had what they say, because a commit took 0.4 s: a kill then undoes it.",
    ),
    (
        "relay_bind_failures",
        "Relay ports that could not be bound for an allocation.",
    ),
    ("forward_sessions_opened", "Sessions of forwards begun."),
    (
        "forward_sessions_ended",
        "Sessions of forwards ended: idle, killed or removed.",
    ),
    (
        "forward_refused",
        "First packets of clients that got no forward session, by reason.",
    ),
    (
        "stream_connections",
        "TURN connections over TCP and TLS now.",
    ),
    ("allocations", "TURN allocations now."),
    ("forward_sessions", "Sessions of forwards now."),
    ("channel_sessions", "Sessions of TURN channels now."),
];

impl Stat {
    pub fn of_icmp(error: &IcmpError, v6: bool) -> Stat {
        match error {
            error if error.is_too_big(v6) => Stat::IcmpTooBig,
            error if error.is_unreachable(v6) => Stat::IcmpUnreachable,
            error if error.is_time_exceeded(v6) => Stat::IcmpTimeExceeded,
            _ => Stat::IcmpOther,
        }
    }

    pub fn of_send_error(error: &io::Error) -> Stat {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Stat::SendRefused,
            Some(libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN) => {
                Stat::SendUnreachable
            }
            Some(libc::EMSGSIZE) => Stat::SendTooBig,
            Some(libc::ENOBUFS | libc::ENOMEM) => Stat::SendNoBuffers,
            Some(libc::EPERM | libc::EACCES) => Stat::SendNotPermitted,
            Some(libc::EAGAIN) => Stat::SendWouldBlock,
            Some(libc::EINVAL | libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL) => Stat::SendInvalid,
            _ => Stat::SendOther,
        }
    }

    pub fn of_receive_error(error: &io::Error) -> Stat {
        match error.raw_os_error() {
            Some(libc::ECONNREFUSED) => Stat::ReceiveRefused,
            Some(libc::EHOSTUNREACH | libc::ENETUNREACH | libc::EHOSTDOWN | libc::ENETDOWN) => {
                Stat::ReceiveUnreachable
            }
            Some(libc::EMSGSIZE) => Stat::ReceiveTooBig,
            _ => Stat::ReceiveOther,
        }
    }
}

/// The cells of one worker. Aligned, so that two workers never write one cache line.
#[derive(Debug)]
#[repr(align(128))]
pub struct Stats {
    cells: [AtomicU64; Stat::ALL.len()],
}

impl Default for Stats {
    fn default() -> Self {
        Stats {
            cells: std::array::from_fn(|_| AtomicU64::new(0)),
        }
    }
}

impl Stats {
    /// Only on the worker that owns these cells: one writer, so no locked instruction.
    pub fn add(&self, stat: Stat, n: u64) {
        let cell = &self.cells[stat as usize];
        cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// Of a gauge, by its only writer.
    pub fn set(&self, stat: Stat, value: u64) {
        self.cells[stat as usize].store(value, Relaxed);
    }

    pub fn get(&self, stat: Stat) -> u64 {
        self.cells[stat as usize].load(Relaxed)
    }
}

/// Every stat, summed over the workers.
pub fn samples<'a>(workers: impl Iterator<Item = &'a Stats> + Clone) -> Vec<Sample> {
    Stat::ALL
        .iter()
        .map(|stat| stat.sample(workers.clone().map(|stats| stats.get(*stat)).sum()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_stat_is_described_and_nothing_else_is() {
        let mut names: Vec<String> = Stat::ALL.iter().map(|stat| stat.sample(0).name).collect();
        names.dedup();
        let described: Vec<&str> = DESCRIPTIONS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, described);
    }

    #[test]
    fn samples_are_sums_over_workers() {
        let (a, b) = (Stats::default(), Stats::default());
        a.add(Stat::SendTooBig, 2);
        b.add(Stat::SendTooBig, 3);
        let all = samples([&a, &b].into_iter());
        let sample = all
            .iter()
            .find(|s| s.labels == [("kind", "too_big".to_string())] && s.name == "send_errors");
        assert_eq!(sample.map(|s| s.value), Some(5));
    }
}
