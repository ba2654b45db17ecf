//! Debian packages: installed without recommendations, and without starting any of their services.

use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, bail};

use crate::shell;

const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Installs the packages whose command is missing.
pub fn require(wanted: &[(&str, &'static str)]) -> Result<()> {
    install(&super::missing(wanted))
}

/// Installs those of `packages` that are not installed.
pub fn install(packages: &[&str]) -> Result<()> {
    let missing = |package: &&str| !installed(package);
    install_newest(&packages.iter().copied().filter(missing).collect::<Vec<_>>())
}

/// Installs `packages`, or newer versions of them.
pub fn install_newest(packages: &[&str]) -> Result<()> {
    if packages.is_empty() {
        return Ok(());
    }
    let list = packages.join(" ");
    if !shell::has("apt-get") {
        bail!("this machine has no apt-get; install by hand what Debian calls: {list}");
    }
    if !shell::is_root() {
        bail!(
            "not root, so nothing is installed; as root run: apt-get install --no-install-recommends {list}"
        );
    }
    let _quiet = NoServices::new()?;
    // Old lists know the packages too, in versions that are too old or no longer there.
    UPDATED.get_or_init(|| {
        update()
            .err()
            .map(|fault| shell::say(&format!("{fault:#}; going on with old lists")))
    });
    unpack(packages)
}

/// Once a run is enough.
static UPDATED: OnceLock<Option<()>> = OnceLock::new();

fn update() -> Result<()> {
    shell::step("apt-get update", Command::new("apt-get").arg("update"))
}

fn unpack(packages: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command.env("DEBIAN_FRONTEND", "noninteractive");
    command
        .args(["install", "-y", "--no-install-recommends"])
        .args(packages);
    shell::step("apt-get install", &mut command)
}

pub fn installed(package: &str) -> bool {
    let status = shell::read(
        "dpkg-query",
        &["--show", "--showformat=${db:Status-Status}", package],
    );
    status.is_some_and(|status| status == "installed")
}

/// While it lives, installed packages may not start services: a coturn would take the relay's ports.
struct NoServices {
    previous: Option<Vec<u8>>,
}

impl NoServices {
    fn new() -> Result<Self> {
        let previous = match fs::read(POLICY) {
            Ok(text) => Some(text),
            Err(fault) if fault.kind() == ErrorKind::NotFound => None,
            Err(fault) => return Err(fault).context(format!("read {POLICY}")),
        };
        let guard = Self { previous };
        write(b"#!/bin/sh\nexit 101\n")?;
        Ok(guard)
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        let restored = match &self.previous {
            Some(text) => write(text),
            None => fs::remove_file(POLICY).context("remove"),
        };
        if let Err(fault) = restored {
            shell::say(&format!(
                "warning: {POLICY} could not be restored: {fault:#}"
            ));
        }
    }
}

fn write(text: &[u8]) -> Result<()> {
    if let Some(folder) = Path::new(POLICY).parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(POLICY, text).with_context(|| format!("write {POLICY}"))?;
    fs::set_permissions(POLICY, Permissions::from_mode(0o755))
        .with_context(|| format!("make {POLICY} executable"))
}
