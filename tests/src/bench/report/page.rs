//! The document: method, machine, a table and charts for each bench. Everything in it comes from kept runs.

use std::fmt::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::svg::{Bar, bars, figure};

const HEAD: &str = "# Performance

Written by `cargo xtask bench report` from the JSON in `performance/`, which is what each bench printed; `lab bench report
--render` writes it again without measuring.

";
const SHAKY: &str = "
## What is shaky

- Everything ran on one machine over veth pairs in network namespaces, the generator beside the relay on the same few CPUs.
  There was no network card: no DMA, no RSS, no interrupts. Ratios between subjects of one run mean something, absolute
  rates are of this machine.
- The load average before each run is in its section. Well above zero, somebody else used the CPUs as well: p99, losses on
  the wire and rates near the limit are then worse than the relay makes them.
- veth's rings have 256 frames, and 90 µs without the CPU fill one under a flood. `bench flood` gives the flood a queue of
  its own and serves the other first, as RSS and a CPU for each queue would: it asks what the relay does to sessions, not
  what a full ring does, which `--one-queue` shows. `bench survive` tells what was lost on the wire.
- coturn is Debian's, with one relay thread, and gets a paced load, because it loses most of a flood.
";

/// The page; charts are written beside the runs.
pub fn write(runs: &[(&str, Value)], kept: &Path) -> Result<String> {
    let mut page = HEAD.to_owned();
    if let Some((_, run)) = runs.first() {
        let of = |key: &str| run["result"][key].as_str().unwrap_or("?").to_owned();
        let cpus = &run["cpus"];
        writeln!(
            page,
            "Machine: {} CPUs of {}, Linux {}.",
            cpus,
            of("cpu"),
            of("kernel")
        )?;
    }
    for (name, run) in runs {
        let section = match *name {
            "packet" => packet(run)?,
            "veth" => veth(run)?,
            "latency" => latency(run)?,
            "flood" => flood(run)?,
            "control" => control(run)?,
            "stream" => super::stream::section(run)?,
            "signaling" => super::signaling::section(run)?,
            "switch" => super::switch::section(run)?,
            _ => survive(run)?,
        };
        writeln!(page, "\n## {}\n\n{}\n", section.title, section.method)?;
        let (command, load) = (&run["command"], &run["load_before"]);
        writeln!(
            page,
            "`{}`, load average before: {}\n",
            command.as_str().context("a command")?,
            load.as_str().unwrap_or("unknown")
        )?;
        page.push_str(&section.table);
        for (i, (title, unit, chart)) in section.charts.iter().enumerate() {
            let file = format!("{name}-{i}.svg");
            std::fs::write(kept.join(&file), bars(title, unit, chart))?;
            writeln!(page, "\n![{title}](performance/{file})")?;
        }
    }
    page.push_str(SHAKY);
    Ok(page)
}

pub(super) struct Section {
    pub title: &'static str,
    pub method: &'static str,
    pub table: String,
    pub charts: Vec<(&'static str, &'static str, Vec<Bar>)>,
}

pub(super) fn rows<'r>(run: &'r Value, key: &str) -> Result<&'r Vec<Value>> {
    run["result"][key]
        .as_array()
        .with_context(|| format!("no {key} in the run"))
}

/// What is at `path`, of which a dot goes one deeper.
fn at<'v>(value: &'v Value, path: &str) -> &'v Value {
    path.split('.').fold(value, |value, key| &value[key])
}

pub(super) fn cell(value: &Value) -> String {
    match value {
        Value::Number(number) if number.is_u64() => number.to_string(),
        Value::Number(number) => figure(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => text.clone(),
        _ => "–".to_owned(),
    }
}

/// A table of `columns`: heading and path in a row.
pub(super) fn table(rows: &[Value], columns: &[(&str, &str)]) -> String {
    let heads: Vec<_> = columns.iter().map(|(head, _)| *head).collect();
    let mut text = format!(
        "| {} |\n|{}\n",
        heads.join(" | "),
        "---|".repeat(heads.len())
    );
    for row in rows {
        let cells: Vec<_> = columns
            .iter()
            .map(|(_, path)| cell(at(row, path)))
            .collect();
        let _ = writeln!(text, "| {} |", cells.join(" | "));
    }
    text
}

pub(super) fn chart(
    rows: &[Value],
    label: impl Fn(&Value) -> Option<String>,
    path: &str,
) -> Vec<Bar> {
    let bar = |row: &Value| {
        Some(Bar {
            label: label(row)?,
            value: at(row, path).as_f64().unwrap_or(f64::NAN),
        })
    };
    rows.iter().filter_map(bar).collect()
}

fn packet(run: &Value) -> Result<Section> {
    let rows = rows(run, "rows")?;
    let with_flows = |wanted: u64| {
        let label = move |row: &Value| (row["flows"] == wanted).then(|| cell(&row["path"]));
        chart(rows, label, "ns")
    };
    Ok(Section {
        title: "The program, per packet",
        method: "Net nanoseconds of the XDP program by path and number of flows through `BPF_PROG_TEST_RUN`, on ever new packets, with deadlines and counters on. `floor` is what only reading and writing the same memory takes: an index, then a slot, as the relay does, or both at once.",
        table: table(
            rows,
            &[
                ("path", "path"),
                ("flows", "flows"),
                ("ns", "ns"),
                ("min", "ns_min"),
                ("max", "ns_max"),
            ],
        ),
        charts: vec![
            ("One flow", "ns a packet", with_flows(1)),
            (
                "A million flows, taken at random",
                "ns a packet",
                with_flows(1_000_000),
            ),
        ],
    })
}

fn veth(run: &Value) -> Result<Section> {
    let rows = rows(run, "rows")?;
    let label = |row: &Value| {
        let (subject, sessions, payload) = (&row["subject"], &row["sessions"], &row["payload"]);
        Some(format!(
            "{}, {} sessions, {} B",
            cell(subject),
            cell(sessions),
            cell(payload)
        ))
    };
    let mut text = table(
        rows,
        &[
            ("subject", "subject"),
            ("sessions", "sessions"),
            ("bytes", "payload"),
            ("offered pps", "offered_pps"),
            ("pps", "pps"),
            ("CPU ns a packet", "cpu_ns"),
        ],
    );
    text.push('\n');
    text.push_str(&table(
        self::rows(run, "ratios")?,
        &[
            ("sessions", "sessions"),
            ("bytes", "payload"),
            ("pps to the reflector's", "pps_to_reflector"),
            ("pps to coturn's", "pps_to_coturn"),
            ("CPU: coturn to relay", "cpu_coturn_to_relay"),
        ],
    ));
    text.push('\n');
    text.push_str(&table(
        self::rows(run, "flows")?,
        &[
            ("sessions", "sessions"),
            ("are clients", "clients"),
            ("with channels each", "channels"),
        ],
    ));
    Ok(Section {
        title: "Packets per second",
        method: "A live-frames generator floods one veth pair; the receiver counts and drops. CPU is the run time of everything on the relay's side, receiver included, per packet that arrived.",
        table: text,
        charts: vec![
            ("Packets per second", "pps", chart(rows, label, "pps")),
            ("CPU", "ns a packet", chart(rows, label, "cpu_ns")),
        ],
    })
}

fn latency(run: &Value) -> Result<Section> {
    let rows = rows(run, "rows")?;
    let label = |row: &Value| (row["subject"] != "direct").then(|| cell(&row["subject"]));
    Ok(Section {
        title: "Added delay",
        method: "One-way delay, microseconds: one thread sends a frame and spins on the socket where it comes out. `direct` is one way over the pair into a socket; the others add the way back and what they do.",
        table: table(
            rows,
            &[
                ("subject", "subject"),
                ("p50", "p50_us"),
                ("p99", "p99_us"),
                ("added p50", "added_p50_us"),
                ("added p99", "added_p99_us"),
                ("packets", "packets"),
                ("lost", "lost"),
            ],
        ),
        charts: vec![
            (
                "Added one-way delay, median",
                "µs",
                chart(rows, label, "added_p50_us"),
            ),
            (
                "Added one-way delay, p99",
                "µs",
                chart(rows, label, "added_p99_us"),
            ),
        ],
    })
}

fn flood(run: &Value) -> Result<Section> {
    let rows = rows(run, "rows")?;
    let label = |row: &Value| (row["rate"] == "full").then(|| cell(&row["flood"]));
    let mut text = table(
        rows,
        &[
            ("flood", "flood"),
            ("rate", "rate"),
            ("reached pps", "reached_pps"),
            ("sent", "kernel_sessions.sent"),
            ("lost", "kernel_sessions.lost"),
            ("of these on the wire", "lost_on_the_wire"),
            ("userspace sent", "userspace_sessions.sent"),
            ("lost", "userspace_sessions.lost"),
            ("host sent", "host.sent"),
            ("lost", "host.lost"),
            ("refresh asked", "refresh.asked"),
            ("failed", "refresh.failed"),
            ("p99 ms", "refresh.p99_ms"),
            ("allocate asked", "allocate.asked"),
            ("failed", "allocate.failed"),
            ("p99 ms", "allocate.p99_ms"),
            ("newcomer asked", "newcomer.asked"),
            ("failed", "newcomer.failed"),
        ],
    );
    let result = &run["result"];
    let _ = write!(
        text,
        "\nAt half of the machine's rate ({} pps): {} packets of sessions in the kernel and {} of those in userspace were lost; {} requests of known clients failed, and {} new allocations from an address that was forged.\n",
        cell(&result["machine_pps"]),
        cell(&result["lost_at_half"]),
        cell(&result["userspace_lost_at_half"]),
        cell(&result["refused_at_half"]),
        cell(&result["refused_of_forged_address_at_half"])
    );
    Ok(Section {
        title: "Under flood",
        method: "Numbered packets through established sessions, in the kernel and in userspace, and past the relay, while junk comes to its ports by a queue of its own: `full` is all the generator gives, `half` half of the most that reached the program. A newcomer is an address that never authenticated: a flood from everywhere is not told from it (`decisions/0009-shield.md`).",
        table: text,
        charts: vec![(
            "Junk taken at full rate",
            "pps",
            chart(rows, label, "reached_pps"),
        )],
    })
}

fn control(run: &Value) -> Result<Section> {
    let rows = rows(run, "rows")?;
    let label = |row: &Value| Some(cell(&row["subject"]));
    let mut text = table(
        rows,
        &[
            ("subject", "subject"),
            ("busy: allocations/s", "busy_per_second"),
            ("a CPU second", "busy_per_cpu_second"),
            ("alone: allocations/s", "alone_per_second"),
            ("a CPU second", "alone_per_cpu_second"),
            ("bytes each", "bytes_per_allocation"),
            ("bytes a flow", "bytes_per_flow"),
            ("idle ms/s, empty", "idle_ms_empty"),
            ("full", "idle_ms_full"),
        ],
    );
    text.push('\n');
    text.push_str(&table(
        self::rows(run, "ratios")?,
        &[
            ("to coturn", "subject"),
            ("busy, a CPU second", "busy"),
            ("alone", "alone"),
            ("memory", "memory"),
        ],
    ));
    Ok(Section {
        title: "Control plane",
        method: "Each server has one CPU, the clients the other. `busy`: many clients at once; `alone`: one after the other, so that the server wakes for each request. Rates are also per second of CPU of the server; memory is the growth of the resident set. `relay` keeps its journal, `relay_mortal` has none, as coturn. The ratios are of the same round.",
        table: text,
        charts: vec![
            (
                "Allocations, busy",
                "a CPU second",
                chart(rows, label, "busy_per_cpu_second"),
            ),
            (
                "Memory",
                "bytes an allocation",
                chart(rows, label, "bytes_per_allocation"),
            ),
        ],
    })
}

fn survive(run: &Value) -> Result<Section> {
    let rows = rows(run, "streams")?;
    let result = &run["result"];
    let mut text = table(
        rows,
        &[
            ("event", "event"),
            ("sent", "sent"),
            ("relayed in the kernel", "relayed"),
            ("passed up", "passed"),
            ("received", "received"),
            ("lost on the wire", "lost_on_the_wire"),
            ("lost", "lost"),
        ],
    );
    let _ = write!(
        text,
        "\n{} sessions; {} adopted; the next Refresh of {} clients succeeded.\n",
        cell(&result["sessions"]),
        cell(&result["adopted_sessions"]),
        cell(&result["refreshed"])
    );
    Ok(Section {
        title: "Outliving the process",
        method: "A steady stream through all sessions while the relay is killed, started again and replaced.",
        table: text,
        charts: Vec::new(),
    })
}
