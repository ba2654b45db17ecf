//! One measured value on its way to `/metrics`, and where the values outside of `net` come from. Knows no exposition format.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::events;
use crate::events::webhook::Counts;
use crate::fastpath::FastPath;
use crate::hook::{Hook, OUTCOMES, REFUSALS};
use crate::turn::{Counter, Counters};

/// Whether a value only grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
}

/// One value. The name is snake case, without the `relay_` prefix and without the `_total` suffix of a counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    pub name: String,
    pub labels: Vec<(&'static str, String)>,
    pub value: u64,
    pub kind: Kind,
}

impl Sample {
    pub fn counter(name: impl Into<String>, value: u64) -> Sample {
        Sample {
            name: name.into(),
            labels: Vec::new(),
            value,
            kind: Kind::Counter,
        }
    }

    pub fn gauge(name: impl Into<String>, value: u64) -> Sample {
        Sample {
            kind: Kind::Gauge,
            ..Sample::counter(name, value)
        }
    }

    pub fn label(mut self, key: &'static str, value: impl Into<String>) -> Sample {
        self.labels.push((key, value.into()));
        self
    }
}

/// Every name made here or in `Relay::counters` with what it means. The names of `turn::Counter` describe themselves.
pub const DESCRIPTIONS: &[(&str, &str)] = &[
    (
        "turn_refused_peers",
        "Peers refused by the peer policy, by the rule that refused them.",
    ),
    (
        "kernel_packets",
        "Packets the kernel program saw, by what it did with them and why.",
    ),
    (
        "kernel_relayed_packets",
        "Packets relayed in the kernel, removed sessions included.",
    ),
    (
        "kernel_relayed_bytes",
        "Application bytes relayed in the kernel, removed sessions included.",
    ),
    (
        "kernel_failed_installs",
        "Sessions the kernel tables refused.",
    ),
    (
        "kernel_drift",
        "Words of kernel memory found different from what was written, and repaired.",
    ),
    (
        "kernel_wanted_sessions",
        "Sessions that should run in the kernel.",
    ),
    (
        "kernel_installed_sessions",
        "Sessions that run in the kernel.",
    ),
    (
        "kernel_capacity",
        "Sessions the kernel tables have room for.",
    ),
    (
        "kernel_slots_used",
        "Places taken in the kernel's session table, of kernel_capacity; two clients that meet share one.",
    ),
    ("kernel_next_hops", "Next hops in use by the kernel."),
    (
        "kernel_next_hops_unresolved",
        "Next hops that wait for their neighbour.",
    ),
    (
        "kernel_known",
        "Clients, permitted peers and ends of forward sessions that the shield knows.",
    ),
    (
        "kernel_known_without_room",
        "Of these, how many the kernel's table has no room for: it takes them for strangers.",
    ),
    ("ports_in_use", "Relay ports held, reserved ones included."),
    ("ports_configured", "Relay ports in the configured range."),
    (
        "hook_lookups",
        "Questions to auth.hook, by how they ended; failed: nobody was let in.",
    ),
    (
        "hook_refused",
        "Questions to auth.hook that were not asked, because too many were under way (busy) or in a second from one source prefix (rate).",
    ),
    ("forwards", "Forwards that exist."),
    ("workers", "Threads of the slow path."),
    (
        "events",
        "Events: allocations, permissions, channels, sessions and connections that began, changed or ended.",
    ),
    (
        "events_lost",
        "Events that did not fit the queue of a listener, once for each.",
    ),
    (
        "webhook_events",
        "Events for webhooks, once for each, by what became of them.",
    ),
    (
        "webhook_failures",
        "Requests to webhooks that failed: those are tried again.",
    ),
    ("event_listeners", "Listeners to events, webhooks included."),
    (
        "draining",
        "1 while nothing new is begun (relay drain, SIGTERM), else 0.",
    ),
];

/// Sums over the workers' TURN servers.
pub fn of_turn(workers: &[Counters]) -> Vec<Sample> {
    let sum = |counter: &Counter| workers.iter().map(|counters| counters.get(*counter)).sum();
    let mut samples: Vec<_> = Counter::ALL
        .iter()
        .map(|counter| Sample::counter(counter.name(), sum(counter)))
        .collect();
    let mut refusals = std::collections::BTreeMap::<&str, u64>::new();
    for (rule, count) in workers.iter().flat_map(Counters::refusals) {
        *refusals.entry(rule).or_default() += count;
    }
    let refused = |(rule, count)| Sample::counter("turn_refused_peers", count).label("rule", rule);
    samples.extend(refusals.into_iter().map(refused));
    samples
}

/// Without a hook nothing was asked.
pub fn of_hook(hook: Option<&Hook>) -> Vec<Sample> {
    let counts = hook.map_or([0; 3], |hook| hook.directory().counts());
    let refused = hook.map_or([0; 2], Hook::refused);
    let ended = OUTCOMES
        .iter()
        .zip(counts)
        .map(|(outcome, count)| Sample::counter("hook_lookups", count).label("outcome", *outcome));
    let not_asked = REFUSALS
        .iter()
        .zip(refused)
        .map(|(reason, count)| Sample::counter("hook_refused", count).label("reason", *reason));
    ended.chain(not_asked).collect()
}

pub fn of_events(gauges: events::Gauges) -> [Sample; 3] {
    [
        Sample::counter("events", gauges.told),
        Sample::counter("events_lost", gauges.lost),
        Sample::gauge("event_listeners", gauges.listeners),
    ]
}

pub fn of_webhooks(counts: &Counts) -> [Sample; 3] {
    let of = |outcome: &str, count: &AtomicU64| {
        Sample::counter("webhook_events", count.load(Relaxed)).label("outcome", outcome)
    };
    [
        of("delivered", &counts.delivered),
        of("given_up", &counts.given_up),
        Sample::counter("webhook_failures", counts.failed.load(Relaxed)),
    ]
}

pub fn of_fastpath(fastpath: &FastPath) -> Vec<Sample> {
    let verdict = |(name, value)| Sample::counter("kernel_packets", value).label("verdict", name);
    let mut samples: Vec<_> = fastpath.counters().into_iter().map(verdict).collect();
    let gauges = fastpath.gauges();
    samples.extend([
        Sample::counter("kernel_relayed_packets", gauges.traffic.packets),
        Sample::counter("kernel_relayed_bytes", gauges.traffic.bytes),
        Sample::counter("kernel_failed_installs", gauges.failed_installs),
        Sample::counter("kernel_drift", gauges.drift),
        Sample::gauge("kernel_wanted_sessions", gauges.wanted),
        Sample::gauge("kernel_installed_sessions", gauges.installed),
        Sample::gauge("kernel_capacity", gauges.capacity),
        Sample::gauge("kernel_slots_used", gauges.slots_used),
        Sample::gauge("kernel_next_hops", gauges.next_hops),
        Sample::gauge("kernel_next_hops_unresolved", gauges.next_hops_unresolved),
        Sample::gauge("kernel_known", gauges.known),
        Sample::gauge("kernel_known_without_room", gauges.known_without_room),
    ]);
    samples
}
