//! Answers of the relay as text for people.

use std::fmt::Write;

use crate::advertise::outside;
use crate::api::{ForwardView, Session, StatusReport, Traffic};
use crate::cli::output::{bytes, table};

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
    let listen: Vec<_> = status
        .listen
        .iter()
        .map(|address| format!("udp/{address}"))
        .collect();
    put("listening", listen.join(", "));
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
    for warning in &report.warnings {
        put("warning", warning.clone());
    }
    text.trim_end().to_owned()
}

pub fn sessions(all: &[Session]) -> String {
    let head = [
        "ID",
        "KIND",
        "OWNER",
        "CLIENT",
        "PEER",
        "RUNS IN",
        "TO PEER",
        "TO CLIENT",
        "EXPIRES",
    ];
    let row = |s: &Session| {
        let to_peer = s.kernel_to_peer.bytes + s.userspace_to_peer.bytes;
        let to_client = s.kernel_to_client.bytes + s.userspace_to_client.bytes;
        vec![
            s.id.to_string(),
            s.kind.clone(),
            s.owner.clone(),
            s.client.to_string(),
            s.peer.map_or("-".to_owned(), |peer| peer.to_string()),
            s.runs_in.clone(),
            bytes(to_peer),
            bytes(to_client),
            format!("{}s", s.expires_in_seconds),
        ]
    };
    table(&head, &all.iter().map(row).collect::<Vec<_>>())
}

pub fn session(s: &Session) -> String {
    let mut text = String::new();
    let mut put = |what: &str, value: String| {
        let _ = writeln!(text, "{what:<22} {value}");
    };
    put("session", format!("{} ({})", s.id, s.kind));
    put("owner", s.owner.clone());
    put("client", s.client.to_string());
    put("server", s.server.to_string());
    put("relayed", s.relayed.to_string());
    put(
        "peer",
        s.peer.map_or("-".to_owned(), |peer| peer.to_string()),
    );
    put(
        "channel",
        s.channel
            .map_or("-".to_owned(), |number| format!("{number:#06x}")),
    );
    let why = s
        .reason
        .as_ref()
        .map_or(String::new(), |reason| format!(" ({reason})"));
    put("runs in", format!("{}{why}", s.runs_in));
    put(
        "age, expires in",
        format!("{}s, {}s", s.age_seconds, s.expires_in_seconds),
    );
    if let Some(trouble) = &s.trouble {
        put("destination", trouble.clone());
    }
    put("kernel to peer", traffic(s.kernel_to_peer));
    put("kernel to client", traffic(s.kernel_to_client));
    put("userspace to peer", traffic(s.userspace_to_peer));
    put("userspace to client", traffic(s.userspace_to_client));
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
