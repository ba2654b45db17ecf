//! This relay as benches start it: one card, one listener, one user, peers on the pair's own network.

use std::sync::Arc;

use anyhow::{Context, Result};

use super::veth::RELAY;
use super::veth::subject::USER;
use crate::home::Home;
use crate::netns::{NetNs, output};
use crate::relay::Relay;

/// How one relay of a bench differs from another.
#[derive(Default)]
pub struct Wanted<'a> {
    /// Configuration beyond the arguments.
    pub config: &'a str,
    /// More arguments.
    pub arguments: &'a [&'a str],
    /// The only CPU it may use; it then has one worker.
    pub cpu: Option<usize>,
}

/// Starts it with `card` as its card.
pub fn start(home: Arc<Home>, namespace: &NetNs, card: &str, wanted: &Wanted<'_>) -> Result<Relay> {
    let user = format!("{}:{}", USER.0, USER.1);
    let listen = format!("udp/{RELAY}:3478");
    let config = home.path().join("bench.toml");
    std::fs::write(&config, wanted.config)?;
    let mut arguments = vec!["--config", config.to_str().context("a path")?];
    arguments.extend(["--interface", card, "--listen", &listen]);
    arguments.extend(["--relay-address", RELAY, "--user", &user]);
    arguments.extend(["--realm", "bench", "--allow-peer", "10.72.0.0/24"]);
    arguments.extend(wanted.arguments);
    match wanted.cpu {
        None => Relay::start_at(home, namespace, &arguments),
        Some(cpu) => Relay::start_on(cpu, home, namespace, &arguments),
    }
}

/// Gives all threads of a running process to one CPU.
pub fn pin(pid: u32, cpu: usize) -> Result<()> {
    let (pid, cpu) = (pid.to_string(), cpu.to_string());
    let mut taskset = std::process::Command::new("taskset");
    output(taskset.args(["-a", "-p", "-c", &cpu, &pid])).map(drop)
}
