//! `setup`: finds or installs what this tree needs. Quick when all is there; installs nothing twice.

pub mod apt;
pub mod bpf;
mod interop;

use anyhow::{Result, bail};

use crate::shell::{has, is_root, say};

#[derive(clap::Args, Default)]
pub struct Options {
    /// Also what only the tests need: coturn, aioice and aiortc, Chromium
    #[arg(long)]
    pub tests: bool,
}

/// Commands the lab runs, and the Debian package each is in.
const LAB: [(&str, &str); 4] = [
    ("ip", "iproute2"),
    ("ethtool", "ethtool"),
    ("ffmpeg", "ffmpeg"),
    ("nft", "nftables"),
];

pub fn task(options: &Options) -> Result<()> {
    if !is_root() {
        by_hand(options)?;
    }
    bpf::require()?;
    apt::require(&LAB)?;
    if options.tests {
        interop::require()?;
    }
    say("setup: everything is there");
    Ok(())
}

/// Without root nothing is installed: says everything that is missing at once.
fn by_hand(options: &Options) -> Result<()> {
    let mut packages = bpf::missing_packages();
    packages.extend(missing(&LAB).into_iter().map(String::from));
    if options.tests {
        packages.extend(missing(&interop::PACKAGES).into_iter().map(String::from));
    }
    match packages.is_empty() {
        true => Ok(()),
        false => bail!(
            "not root, so nothing is installed; as root run\n  apt-get install --no-install-recommends {}",
            packages.join(" ")
        ),
    }
}

/// Packages of `wanted` whose command is missing.
fn missing(wanted: &[(&str, &'static str)]) -> Vec<&'static str> {
    wanted
        .iter()
        .filter(|(command, _)| !has(command))
        .map(|(_, package)| *package)
        .collect()
}
