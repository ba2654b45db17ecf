//! `lab`: what `cargo xtask run` and `bench` hand over to. Only dispatches.

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand};
use relay_tests::{bench, lab, privileged, residue};

#[derive(Parser)]
#[command(
    name = "lab",
    about = "Namespaces, media and measurements around a real relay"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Relay a video and calls, and show where they run
    Run(lab::run::Options),
    /// Measure
    #[command(subcommand)]
    Bench(Bench),
    /// Kill the relay every few seconds under sessions that stay and sessions that come and go
    Soak(lab::soak::Options),
    /// Look for what a lab may not leave behind; fails if there is anything
    Residue,
    /// Wait for the end of the input, then remove the namespaces that process PID made; `run` starts this
    #[command(hide = true)]
    Sweep { pid: u32 },
}

#[derive(Subcommand)]
enum Bench {
    /// Nanoseconds of the data path per packet
    Packet(bench::packet::Options),
    /// Packets lost while the relay is killed, restarted and replaced
    Survive(bench::survive::Options),
    /// One-way delay that this relay, nftables and coturn add
    Latency(bench::latency::Options),
    /// All of these, and the document they make
    Report(bench::report::Options),
    /// What established sessions and known clients lose under floods of junk
    Flood(bench::flood::Options),
    /// Packets per second and CPU per packet beside a reflector and coturn
    Veth(bench::veth::Options),
    /// Allocations per second and memory per allocation beside coturn
    Control(bench::control::Options),
    /// TURN over TCP and TLS beside coturn: CPU per packet
    Stream(bench::stream::Options),
    /// The signaling proxy beside nginx as reverse proxy: requests, WebSocket messages, CPU of each
    Signaling(bench::signaling::Options),
    /// `relay connect` behind a link that goes bad: time to the other leg and back, media missing and doubled
    Switch(bench::switch::Options),
}

fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Bench(Bench::Control(options)) => {
            print(&bench::control::run(&options)?, options.json)
        }
        Command::Bench(Bench::Stream(options)) => {
            print(&bench::stream::run(&options)?, options.json)
        }
        Command::Bench(Bench::Signaling(options)) => {
            print(&bench::signaling::run(&options)?, options.json)
        }
        Command::Bench(Bench::Switch(options)) => {
            print(&bench::switch::run(&options)?, options.json)
        }
        Command::Run(options) => lab::run::run(&options),
        Command::Bench(Bench::Packet(options)) => packet(&options),
        Command::Bench(Bench::Veth(options)) => print(&bench::veth::run(&options)?, options.json),
        Command::Bench(Bench::Latency(options)) => {
            print(&bench::latency::run(&options)?, options.json)
        }
        Command::Bench(Bench::Report(options)) => bench::report::run(&options),
        Command::Bench(Bench::Flood(options)) => print(&bench::flood::run(&options)?, options.json),
        Command::Bench(Bench::Survive(options)) => {
            print(&bench::survive::run(&options)?, options.json)
        }
        Command::Soak(options) => print(&lab::soak::run(&options)?, options.json),
        Command::Residue => leftovers(),
        Command::Sweep { pid } => lab::janitor::sweep(pid),
    }
}

fn packet(options: &bench::packet::Options) -> Result<()> {
    privileged::require_root("BPF test runs")?;
    let object = |name| {
        privileged::object(name).with_context(|| format!("{name}; `cargo xtask build` makes it"))
    };
    print(
        &bench::packet::run(&object("relay-xdp.o")?, &object("lab-xdp.o")?, options)?,
        options.json,
    )
}

fn print(report: &impl serde::Serialize, json: bool) -> Result<()> {
    let text = if json {
        serde_json::to_string(report)?
    } else {
        serde_json::to_string_pretty(report)?
    };
    println!("{text}");
    Ok(())
}

fn leftovers() -> Result<()> {
    let left = residue::find();
    match left.len() {
        0 => Ok(()),
        count => bail!("{count} things were left behind:\n  {}", left.join("\n  ")),
    }
}
