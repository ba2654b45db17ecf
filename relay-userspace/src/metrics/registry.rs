//! Every metric of the relay, declared once: name, type, labels and meaning. `docs/metrics.md` is printed from it.

use relay_common::Counter;

use crate::relay::Kind;

pub const PREFIX: &str = "relay";

/// `relay_NAME`, with `_total` behind it for a counter.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    pub name: &'static str,
    pub kind: Kind,
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

macro_rules! metrics {
    ($($kind:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        pub const METRICS: &[Metric] = &[$(Metric {
            name: $name,
            kind: Kind::$kind,
            labels: &[$($label),*],
            help: $help,
        }),*];
    };
}

metrics! {
    Gauge "uptime_seconds" [] "Seconds since the relay started.";
    Gauge "workers" [] "Slow-path threads.";
    Gauge "allocations" [] "TURN allocations that are alive.";
    Gauge "forwards" [] "Forwards that are configured or were added.";
    Gauge "sessions" [] "Sessions that are alive: TURN channels and clients of forwards.";
    Gauge "kernel_sessions" [] "Sessions the kernel relays.";
    Gauge "kernel_capacity" [] "Sessions the kernel tables have room for.";
    Counter "relayed_packets" ["path"] "Packets relayed, by path: kernel or userspace.";
    Counter "relayed_bytes" ["path"] "Payload bytes relayed, by path: kernel or userspace.";
    Counter "kernel_packets" ["verdict"] "What the XDP program did with each packet it saw; the verdicts are listed below.";
}

pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
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

/// The tables of `docs/metrics.md`.
pub fn markdown() -> String {
    let mut text = String::from("| metric | type | labels | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
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
