//! Answers of the relay as text for people.

mod session;

use std::fmt::Write;

use crate::advertise::outside;
use crate::api::{ForwardView, StatusReport, Traffic};
use crate::cli::output::{bytes, table};

pub use session::{session, sessions};

pub fn status(report: &StatusReport) -> String {
    let status = &report.status;
    let mut text = String::new();
    let mut put = |what: &str, value: String| {
        let _ = writeln!(text, "{what:<12} {value}");
    };
    put(
        "relay",
        format!(
            "{} pid {} up {}s, {} workers",
            status.version, status.pid, status.uptime_seconds, status.workers
        ),
    );
    put("listening", status.listeners().join(", "));
    let addresses: Vec<_> = status
        .relay_addresses
        .iter()
        .map(|local| match outside(*local, &status.advertised) {
            public if public == *local => local.to_string(),
            public => format!("{local} (advertised as {public})"),
        })
        .collect();
    put("relaying on", or_dash(addresses.join(", ")));
    for card in &status.cards {
        let why = card
            .reason
            .as_ref()
            .map_or(String::new(), |reason| format!(" ({reason})"));
        put("card", format!("{} {}{why}", card.name, card.mode));
    }
    if let Some(why) = &status.kernel_off {
        put("kernel", format!("off: {why}"));
    }
    put(
        "sessions",
        format!(
            "{} ({} in the kernel, room for {}), {} allocations, {} forwards",
            status.sessions,
            status.kernel_sessions,
            status.kernel_capacity,
            status.allocations,
            status.forwards
        ),
    );
    put("in kernel", traffic(status.kernel));
    put("in userspace", traffic(status.userspace));
    put("admin", report.admin_socket.clone());
    put(
        "metrics",
        report.metrics.map_or("off".to_owned(), |address| {
            format!("http://{address}/metrics")
        }),
    );
    for warning in status.not_listening.iter().chain(&report.warnings) {
        put("warning", warning.clone());
    }
    text.trim_end().to_owned()
}

pub fn forwards(all: &[ForwardView]) -> String {
    let head = [
        "NAME", "LISTEN", "TO", "RESOLVED", "ALLOW", "IDLE", "SESSIONS", "REFUSED",
    ];
    let row = |f: &ForwardView| {
        let resolved: Vec<_> = f.resolved.iter().map(ToString::to_string).collect();
        let resolved = f
            .fault
            .clone()
            .unwrap_or_else(|| or_dash(resolved.join(",")));
        let allow = if f.allow.is_empty() {
            "anyone".to_owned()
        } else {
            f.allow.join(",")
        };
        vec![
            f.name.clone(),
            format!("udp/{}", f.listen),
            f.to.clone(),
            resolved,
            allow,
            format!("{}s", f.idle_seconds),
            format!("{}/{}", f.sessions, f.max_sessions),
            f.refused.to_string(),
        ]
    };
    table(&head, &all.iter().map(row).collect::<Vec<_>>())
}

fn traffic(traffic: Traffic) -> String {
    format!("{} packets, {}", traffic.packets, bytes(traffic.bytes))
}

fn or_dash(text: String) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text
    }
}
