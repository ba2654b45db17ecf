//! The document's section on going from UDP to TLS and back.

use anyhow::Result;
use serde_json::Value;

use super::page::{Section, cell, chart, rows, table};

pub fn section(run: &Value) -> Result<Section> {
    let cases = rows(run, "rows")?;
    let switch = [
        ("case", "case"),
        ("runs", "runs"),
        ("switched", "switched"),
        ("after ms, p50", "switch_ms.p50"),
        ("p95", "switch_ms.p95"),
        ("max", "switch_ms.max"),
        ("media missing ms, p50", "missing_ms.p50"),
        ("p95", "missing_ms.p95"),
        ("max", "missing_ms.max"),
        ("packets to the peer, p50", "missing_to_peer.p50"),
        ("back", "missing_to_application.p50"),
        ("doubled", "doubled"),
        ("doubts", "doubts"),
    ];
    let back = [
        ("case", "case"),
        ("returned", "returned"),
        ("after ms, p50", "return_ms.p50"),
        ("p95", "return_ms.p95"),
        ("max", "return_ms.max"),
        ("lost", "lost_at_return"),
        ("doubled", "doubled_at_return"),
    ];
    let result = &run["result"];
    let stream = format!(
        "{} bytes each way every {} ms, round trip {} ms, {} runs side by side. The way back to UDP, from fine weather on, the dwell included:",
        cell(&result["bytes"]),
        cell(&result["period_ms"]),
        cell(&result["round_trip_ms"]),
        cell(&result["at_once"])
    );
    let label = |row: &Value| Some(cell(&row["case"]));
    let text = [
        table(cases, &switch),
        stream,
        String::new(),
        table(cases, &back),
    ];
    Ok(Section {
        title: "UDP to TLS and back",
        method: "`relay connect` behind a link that goes bad in mid-flow, and fine again: no UDP (`block`), a fifth of it lost each way, a NAT that gives another port, a black hole for packets as long as media, a policer at a third of what media needs, and UDP that comes and goes every 4 s. On a link that jitters by 200 ms or loses one of twenty each way, nothing should happen. After a rebinding the leg stays: its time is until both directions arrive again. A doubt moves the allocation to TLS and costs nothing if it was wrong (`decisions/0020-no-copies.md`, `decisions/0022-when-to-doubt.md`).",
        table: text.join("\n"),
        charts: vec![
            (
                "Media missing, median",
                "ms",
                chart(cases, label, "missing_ms.p50"),
            ),
            (
                "Until it was on the other leg, p95",
                "ms",
                chart(cases, label, "switch_ms.p95"),
            ),
        ],
    })
}
