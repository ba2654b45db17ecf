//! Every metric of the relay in one list: name, type, labels and meaning. `docs/metrics.md` is printed from it.

use relay_common::Counter;

use crate::net::stats;
use crate::relay::{Kind, sample};
use crate::turn;
use crate::web::counts;

pub const PREFIX: &str = "relay";

/// `relay_NAME`, with `_total` behind it for a counter.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Metric {
    /// As it stands in `/metrics`.
    pub fn full_name(&self) -> String {
        match self.kind {
            Kind::Counter => format!("{PREFIX}_{}_total", self.name),
            Kind::Gauge => format!("{PREFIX}_{}", self.name),
        }
    }
}

/// Names described by those who count them; what is not a plain counter stands in `SHAPES`.
pub fn all() -> Vec<Metric> {
    let described = stats::DESCRIPTIONS
        .iter()
        .chain(sample::DESCRIPTIONS)
        .chain(counts::DESCRIPTIONS)
        .copied();
    let turn = turn::Counter::ALL
        .iter()
        .map(|counter| (counter.name(), counter.describe()));
    let metric = |(name, help)| {
        let shape = SHAPES.iter().find(|(shaped, ..)| *shaped == name);
        let (kind, labels) = shape.map_or((Kind::Counter, &[][..]), |(_, kind, labels)| {
            (*kind, *labels)
        });
        Metric {
            name,
            kind,
            labels,
            help,
        }
    };
    described.chain(turn).map(metric).collect()
}

pub fn find(name: &str) -> Option<Metric> {
    all().into_iter().find(|metric| metric.name == name)
}

const SHAPES: &[(&str, Kind, &[&str])] = &[
    ("userspace_packets", Kind::Counter, &["direction"]),
    ("userspace_bytes", Kind::Counter, &["direction"]),
    ("userspace_dropped", Kind::Counter, &["reason"]),
    ("send_errors", Kind::Counter, &["kind"]),
    ("receive_errors", Kind::Counter, &["kind"]),
    ("icmp_received", Kind::Counter, &["kind"]),
    ("forward_icmp", Kind::Counter, &["outcome"]),
    ("stream_accepted", Kind::Counter, &["protocol"]),
    ("stream_refused", Kind::Counter, &["reason"]),
    ("stream_ended", Kind::Counter, &["reason"]),
    ("stream_connections", Kind::Gauge, &[]),
    ("forward_refused", Kind::Counter, &["reason"]),
    ("turn_refused_peers", Kind::Counter, &["rule"]),
    ("hook_lookups", Kind::Counter, &["outcome"]),
    ("hook_refused", Kind::Counter, &["reason"]),
    ("kernel_packets", Kind::Counter, &["verdict"]),
    ("allocations", Kind::Gauge, &[]),
    ("forward_sessions", Kind::Gauge, &[]),
    ("channel_sessions", Kind::Gauge, &[]),
    ("kernel_wanted_sessions", Kind::Gauge, &[]),
    ("kernel_installed_sessions", Kind::Gauge, &[]),
    ("kernel_capacity", Kind::Gauge, &[]),
    ("kernel_slots_used", Kind::Gauge, &[]),
    ("kernel_next_hops", Kind::Gauge, &[]),
    ("kernel_next_hops_unresolved", Kind::Gauge, &[]),
    ("kernel_known", Kind::Gauge, &[]),
    ("kernel_known_without_room", Kind::Gauge, &[]),
    ("ports_in_use", Kind::Gauge, &[]),
    ("ports_configured", Kind::Gauge, &[]),
    ("forwards", Kind::Gauge, &[]),
    ("workers", Kind::Gauge, &[]),
    ("webhook_events", Kind::Counter, &["outcome"]),
    ("event_listeners", Kind::Gauge, &[]),
    ("draining", Kind::Gauge, &[]),
    ("signaling_answers", Kind::Counter, &["status"]),
    ("signaling_faults", Kind::Counter, &["code"]),
    ("signaling_requests_under_way", Kind::Gauge, &[]),
    ("http_connections", Kind::Gauge, &[]),
    ("signaling_websockets", Kind::Gauge, &[]),
    ("signaling_bytes", Kind::Counter, &["direction"]),
    (
        "signaling_origin_healthy",
        Kind::Gauge,
        &["route", "origin"],
    ),
    ("api_answers", Kind::Counter, &["request", "status"]),
];

/// The tables of `docs/metrics.md`.
pub fn markdown() -> String {
    let mut text = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in all() {
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        let labels: Vec<_> = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect();
        let row = (metric.full_name(), labels.join(", "), metric.help);
        text += &format!("| `{}` | {kind} | {} | {} |\n", row.0, row.1, row.2);
    }
    text += "\nVerdicts of `relay_kernel_packets_total`:\n\n| verdict | meaning |\n|---|---|\n";
    for counter in Counter::ALL {
        text += &format!("| `{}` | {} |\n", counter.name(), counter.describe());
    }
    text
}
