//! `setup`: finds or installs what this tree needs. Quick when all is there; installs nothing twice.

pub mod apt;
pub mod bpf;
mod interop;

use anyhow::Result;

use crate::shell::{has, say};

#[derive(clap::Args, Default)]
pub struct Options {
    /// Also what only the tests need: coturn, aioice and aiortc, Chromium
    #[arg(long)]
    pub tests: bool,
}

/// Commands the lab runs, and the Debian package each is in.
const LAB: [(&str, &str); 3] = [
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("ffmpeg", "ffmpeg"),
];

pub fn task(options: &Options) -> Result<()> {
    bpf::require()?;
    apt::require(&LAB)?;
    if options.tests {
        interop::require()?;
    }
    say("setup: everything is there");
    Ok(())
}

/// Packages of `wanted` whose command is missing.
fn missing(wanted: &[(&str, &'static str)]) -> Vec<&'static str> {
    wanted
        .iter()
        .filter(|(command, _)| !has(command))
        .map(|(_, package)| *package)
        .collect()
}
