//! The BPF toolchain: a rustc with core's sources, and a bpf-linker whose LLVM is at least that rustc's.
//!
//! Two roads: Debian's `rustc-web` packages (a recent rustc and its LLVM, one fast install), or rustup's nightly with
//! `rust-src`. Whichever is complete is used; if none is, the Debian one is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt;
use crate::shell::{read, say, step};
use crate::tree;

const DEBIAN_RUSTC: &str = "/usr/bin/rustc";
const DEBIAN_CARGO: &str = "/usr/bin/cargo";
const DEBIAN_CORE: &str = "/usr/lib/rustlib/src/rust/library/core/Cargo.toml";
/// Oldest rustc minor that compiles this workspace (`rust-version` in Cargo.toml).
const OLDEST_MINOR: u32 = 95;

/// A complete toolchain for the kernel program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Toolchain {
    Debian,
    Nightly,
}

impl Toolchain {
    /// The one that is installed and complete, if any.
    pub fn find() -> Option<Self> {
        let linker = linker_llvm()?;
        let debian = debian_llvm().is_some_and(|llvm| llvm <= linker);
        let nightly = || nightly_llvm().is_some_and(|llvm| llvm <= linker);
        if debian {
            Some(Self::Debian)
        } else {
            nightly().then_some(Self::Nightly)
        }
    }

    /// A cargo that builds with it, free of what the calling cargo left in the environment.
    pub fn cargo(self) -> Command {
        let mut command = match self {
            Self::Debian => {
                let mut command = Command::new(DEBIAN_CARGO);
                command
                    .env("RUSTC", DEBIAN_RUSTC)
                    .env("RUSTC_BOOTSTRAP", "1");
                command
            }
            Self::Nightly => {
                let mut command = Command::new("rustup");
                command.args(["run", "nightly", "cargo"]);
                command.env_remove("RUSTC");
                command
            }
        };
        for name in [
            "CARGO",
            "RUSTUP_TOOLCHAIN",
            "RUSTFLAGS",
            "RUSTC_WRAPPER",
            "RUSTC_WORKSPACE_WRAPPER",
        ] {
            command.env_remove(name);
        }
        command
    }
}

/// Finds a toolchain or installs one.
pub fn require() -> Result<Toolchain> {
    if let Some(found) = Toolchain::find() {
        return Ok(found);
    }
    say("setup: no complete BPF toolchain yet; taking Debian's rustc and LLVM");
    if debian_llvm().is_none() {
        apt::install_newest(&["rustc-web", "rust-web-src", "cargo-web"])?;
    }
    let llvm = debian_llvm().with_context(|| {
        format!("{DEBIAN_RUSTC} is older than 1.{OLDEST_MINOR} or lacks core's sources")
    })?;
    if linker_llvm().is_none_or(|linker| linker < llvm) {
        install_linker(llvm)?;
    }
    match Toolchain::find() {
        Some(found) => Ok(found),
        None => bail!(
            "the BPF toolchain is still incomplete; remove {} and try again",
            stamp().display()
        ),
    }
}

/// What Debian's road lacks, for a person to install; nothing if either road is complete.
pub fn missing_packages() -> Vec<String> {
    if Toolchain::find().is_some() {
        return Vec::new();
    }
    let Some(llvm) = debian_llvm() else {
        return ["rustc-web", "rust-web-src", "cargo-web"]
            .map(String::from)
            .into();
    };
    let libraries = [
        format!("llvm-{llvm}-dev"),
        "libzstd-dev".to_owned(),
        "zlib1g-dev".to_owned(),
    ];
    libraries
        .into_iter()
        .filter(|package| !apt::installed(package))
        .collect()
}

fn install_linker(llvm: u32) -> Result<()> {
    let prefix = format!("/usr/lib/llvm-{llvm}");
    let development = format!("llvm-{llvm}-dev");
    let mut packages = vec!["libzstd-dev", "zlib1g-dev"];
    if !Path::new(&prefix).join("include/llvm").exists() {
        packages.insert(0, &development);
    }
    if !crate::shell::has("c++") {
        packages.push("g++");
    }
    apt::install(&packages)?;
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command
        .env("LLVM_PREFIX", &prefix)
        .current_dir(std::env::temp_dir());
    command
        .args([
            "install",
            "bpf-linker",
            "--locked",
            "--force",
            "--no-default-features",
            "--features",
        ])
        .arg(format!("llvm-{llvm}"));
    step("build bpf-linker", &mut command)?;
    std::fs::write(stamp(), llvm.to_string()).context("remember the linker's LLVM")
}

/// LLVM's major in Debian's rustc; `None` unless it is recent enough and core's sources are there.
fn debian_llvm() -> Option<u32> {
    let version = read(DEBIAN_RUSTC, &["-vV"])?;
    let complete = Path::new(DEBIAN_CORE).exists() && Path::new(DEBIAN_CARGO).exists();
    (complete && minor(&version)? >= OLDEST_MINOR).then(|| llvm(&version))?
}

fn nightly_llvm() -> Option<u32> {
    let version = read("rustup", &["run", "nightly", "rustc", "-vV"])?;
    let sysroot = read("rustup", &["run", "nightly", "rustc", "--print", "sysroot"])?;
    let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core/Cargo.toml");
    core.exists().then(|| llvm(&version))?
}

/// LLVM's major in the installed bpf-linker: from what it links, else from what this task built.
fn linker_llvm() -> Option<u32> {
    let linker = linker()?;
    let linked = read("ldd", &[linker.to_str()?]).and_then(|libraries| {
        let name = libraries
            .split_whitespace()
            .find_map(|word| word.strip_prefix("libLLVM"))?;
        name.split(|c: char| !c.is_ascii_digit())
            .find_map(|part| part.parse().ok())
    });
    linked.or_else(|| std::fs::read_to_string(stamp()).ok()?.trim().parse().ok())
}

/// The linker's file; cargo installs it beside itself.
pub fn linker() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))?;
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&folders).collect::<Vec<_>>();
    let mut places = std::iter::once(home.join("bin")).chain(folders);
    places
        .find(|folder| folder.join("bpf-linker").is_file())
        .map(|folder| folder.join("bpf-linker"))
}

fn stamp() -> PathBuf {
    tree::target().join("bpf-linker.llvm")
}

/// `rustc -vV` → the 95 of 1.95.0.
fn minor(version: &str) -> Option<u32> {
    version
        .lines()
        .find_map(|line| line.strip_prefix("release: 1."))?
        .split('.')
        .next()?
        .parse()
        .ok()
}

/// `rustc -vV` → the 22 of LLVM 22.1.2.
fn llvm(version: &str) -> Option<u32> {
    version
        .lines()
        .find_map(|line| line.strip_prefix("LLVM version: "))?
        .split('.')
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_rustc_prints() {
        let text =
            "rustc 1.96.0 (built from a source tarball)\nrelease: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!((minor(text), llvm(text)), (Some(96), Some(22)));
    }
}
