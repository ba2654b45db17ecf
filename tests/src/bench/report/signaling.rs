//! The document's section on the signaling proxy.

use anyhow::Result;
use serde_json::Value;

use super::page::{Section, chart, rows, table};

pub fn section(run: &Value) -> Result<Section> {
    let loads = rows(run, "rows")?;
    let row = [
        ("proxy", "proxy"),
        ("load", "load"),
        ("a second", "per_second"),
        ("p50 ms", "p50_ms"),
        ("p99 ms", "p99_ms"),
        ("CPU µs each", "cpu_us"),
    ];
    let ratio = [
        ("relay to nginx: requests/s", "requests_per_second"),
        ("p99", "p99"),
        ("CPU a request", "cpu_per_request"),
        ("messages/s", "messages_per_second"),
        ("CPU a message", "cpu_per_message"),
    ];
    let text = [
        table(loads, &row),
        table(std::slice::from_ref(&run["result"]), &ratio),
    ];
    let of = |load: &'static str| {
        let label = move |row: &Value| {
            let proxy = row["proxy"].as_str()?.to_owned();
            (row["load"] == load).then_some(proxy)
        };
        chart(loads, label, "per_second")
    };
    Ok(Section {
        title: "Signaling",
        method: "Requests and WebSocket messages over TLS through the relay and through nginx as reverse proxy, to the same origins, in turns; the load and the origin share the CPUs. CPU is the proxy's processes alone. The ratios are of the same round.",
        table: text.join("\n"),
        charts: vec![
            ("Requests through the proxy", "a second", of("requests")),
            (
                "WebSocket messages through the proxy",
                "a second",
                of("messages"),
            ),
        ],
    })
}
