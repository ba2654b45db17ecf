//! The document's section on TCP and TLS.

use anyhow::Result;
use serde_json::Value;

use super::page::{Section, cell, chart, rows, table};

pub fn section(run: &Value) -> Result<Section> {
    let costs = rows(run, "rows")?;
    let label = |row: &Value| {
        let [subject, transport, direction, connections] =
            ["subject", "transport", "direction", "connections"].map(|key| cell(&row[key]));
        let paced = row["rate"].is_u64() && row["burst"] != 1;
        paced.then(|| format!("{subject}, {transport} {direction}, {connections} connections"))
    };
    let setting = [
        ("transport", "transport"),
        ("direction", "direction"),
        ("connections", "connections"),
        ("burst", "burst"),
        ("offered pps", "rate"),
    ];
    let with = |more: &[(&'static str, &'static str)]| [&setting[..], more].concat();
    let subject = [("server", "subject")];
    let cost = [
        ("pps", "pps"),
        ("lost", "lost"),
        ("CPU µs a packet", "cpu_us"),
        ("in the kernel", "system_us"),
        ("softirq µs", "softirq_us"),
    ];
    let ratio = [
        ("pps to coturn's", "pps_to_coturn"),
        ("CPU: coturn to relay", "cpu_coturn_to_relay"),
    ];
    let stalled = [
        ("congestion control", "congestion"),
        ("video p50 ms", "video.slow.p50_ms"),
        ("max", "video.slow.max_ms"),
        ("arrived", "video.slow.arrived"),
        ("of", "video.slow.sent"),
        ("audio p50 ms", "audio.slow.p50_ms"),
        ("max", "audio.slow.max_ms"),
        ("longest gap", "audio.slow.gap_ms"),
        ("arrived", "audio.slow.arrived"),
        ("of", "audio.slow.sent"),
        ("usual again after ms", "recovered_after_ms"),
    ];
    let idle = [
        ("connections", "connections"),
        ("bytes each", "bytes_per_connection"),
        ("with an allocation", "clients"),
        ("bytes each", "bytes_per_client"),
        ("handshakes/s", "handshakes_per_second"),
    ];
    let flood = [
        ("flood", "flood"),
        ("connections/s", "connections_per_second"),
        ("sent", "sent"),
        ("lost", "lost"),
        ("p99 ms", "age_p99_ms"),
        ("max", "age_max_ms"),
    ];
    let text = [
        table(costs, &[&subject[..], &with(&cost)].concat()),
        table(rows(run, "ratios")?, &with(&ratio)),
        "A video of 4 Mbit/s and a packet of 160 bytes every 20 ms to a TLS client, round trip 20 ms, in the 10 s in which its link takes 1 Mbit/s; its queue there is 256 KiB:".to_owned(),
        table(rows(run, "stalled")?, &[&subject[..], &stalled].concat()),
        "Memory of the process for TLS connections on which nothing happens:".to_owned(),
        table(rows(run, "idle")?, &[&subject[..], &idle].concat()),
        "Ten established TLS sessions, a small packet each way every 20 ms, while connections are opened that trickle, stop halfway or send junk:".to_owned(),
        table(rows(run, "flood")?, &[&subject[..], &flood].concat()),
    ];
    Ok(Section {
        title: "TCP and TLS",
        method: "ChannelData of 1200 bytes between clients on streams and a UDP peer; `to_peer` is from the clients. A burst is what one connection sends at once, as the packets of a video's frame. As much as goes has a window, so that nothing is lost to a full socket. CPU is the server's process; what its card's receive thread takes is told apart as softirq.",
        table: text.join("\n"),
        charts: vec![(
            "CPU at the same load",
            "µs a packet",
            chart(costs, label, "cpu_us"),
        )],
    })
}
