//! `build`: the XDP objects first, then the commands that embed them.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::setup::bpf::{self, Toolchain};
use crate::{shell, tree};

#[derive(clap::Args)]
pub struct Options {
    /// Cargo profile of the commands: `release` or `dev` (the XDP objects are always optimised)
    #[arg(long, default_value = "release")]
    pub profile: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            profile: "release".to_owned(),
        }
    }
}

/// What `relay-ebpf` makes, and the name it is embedded and loaded by.
const OBJECTS: [(&str, &str); 2] = [("relay-xdp", "relay-xdp.o"), ("lab-xdp", "lab-xdp.o")];

pub fn task(options: &Options) -> Result<()> {
    objects(bpf::require()?)?;
    let mut command = cargo();
    command.args([
        "build",
        "--profile",
        &options.profile,
        "-p",
        "relay-userspace",
        "-p",
        "relay-tests",
    ]);
    shell::step(
        &format!("build relay and lab ({})", options.profile),
        &mut command,
    )
}

/// The workspace's own cargo, in the workspace.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(tree::root());
    command
}

/// Compiles `relay-ebpf` and puts its objects into `target/bpf`.
fn objects(toolchain: Toolchain) -> Result<()> {
    let bpf = tree::target().join("bpf");
    let mut command = toolchain.cargo();
    command
        .current_dir(tree::root())
        .env("CARGO_ENCODED_RUSTFLAGS", rustflags()?);
    command.args([
        "build",
        "--release",
        "-p",
        "relay-ebpf",
        "--target",
        "bpfel-unknown-none",
        "-Z",
        "build-std=core",
    ]);
    command.arg("--target-dir").arg(&bpf);
    shell::step("build the XDP objects", &mut command)?;
    for (made, name) in OBJECTS {
        publish(
            &bpf.join("bpfel-unknown-none/release").join(made),
            &bpf.join(name),
        )?;
    }
    Ok(())
}

/// BTF for the loader, and an instruction set that every kernel since 5.12 runs (atomics, 32-bit jumps).
fn rustflags() -> Result<String> {
    let linker = bpf::linker().context("bpf-linker is gone")?;
    let linker = format!("-Clinker={}", linker.display());
    let arch = format!("--cfg=bpf_target_arch=\"{}\"", std::env::consts::ARCH);
    let flags = [
        &linker,
        &arch,
        "-Cdebuginfo=2",
        "-Clink-arg=--btf",
        "-Ctarget-cpu=v3",
    ];
    Ok(flags.join("\x1f"))
}

/// Copies only what changed, so that an unchanged object rebuilds nothing that embeds it.
fn publish(from: &Path, to: &Path) -> Result<()> {
    let new = std::fs::read(from).with_context(|| format!("read {}", from.display()))?;
    if std::fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    std::fs::write(to, new).with_context(|| format!("write {}", to.display()))
}
