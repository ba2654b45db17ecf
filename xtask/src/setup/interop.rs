//! Software that nobody here wrote, for the interop tests: coturn's clients, aioice and aiortc, headless Chromium, nginx,
//! curl and what Node has of WebSockets.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use super::apt;
use crate::{shell, tree};

pub const PACKAGES: [(&str, &str); 9] = [
    ("turnserver", "coturn"),
    // tidy asks it which files there are.
    ("git", "git"),
    ("python3", "python3-venv"),
    ("chromium", "chromium"),
    ("node", "nodejs"),
    ("npm", "npm"),
    ("socat", "socat"),
    ("nginx", "nginx-light"),
    ("curl", "curl"),
];
const PYTHON: [&str; 2] = ["aioice", "aiortc"];
/// 24 is the last puppeteer that runs on Debian 12's node 18.
const NODE: [(&str, &str); 2] = [("puppeteer-core", "puppeteer-core@24"), ("ws", "ws@8")];

pub fn require() -> Result<()> {
    apt::require(&PACKAGES)?;
    python()?;
    node()
}

/// Where the tests look for what is not a Debian package.
fn tools() -> PathBuf {
    tree::target().join("tools")
}

/// A virtual environment in `target/tools/venv`.
fn python() -> Result<()> {
    let venv = tools().join("venv");
    let pip = venv.join("bin/pip");
    if !pip.exists() {
        if shell::read("python3", &["-c", "import ensurepip"]).is_none() {
            apt::install(&["python3-venv"])?;
        }
        shell::step(
            "make a Python environment",
            Command::new("python3").args(["-m", "venv"]).arg(&venv),
        )?;
    }
    let there = |module: &str| {
        let versions = std::fs::read_dir(venv.join("lib"));
        versions.is_ok_and(|mut all| {
            all.any(|v| v.is_ok_and(|v| v.path().join("site-packages").join(module).exists()))
        })
    };
    if PYTHON.iter().all(|module| there(module)) {
        return Ok(());
    }
    let mut command = Command::new(pip);
    command
        .args(["install", "--quiet", "--disable-pip-version-check"])
        .args(PYTHON);
    shell::step("install aioice and aiortc", &mut command)
}

/// Into `target/tools/node_modules`; puppeteer-core drives Debian's Chromium and downloads none.
fn node() -> Result<()> {
    let prefix = tools();
    let modules = prefix.join("node_modules");
    let there = |name: &str| modules.join(name).join("package.json").exists();
    if NODE.iter().all(|(name, _)| there(name)) {
        return Ok(());
    }
    std::fs::create_dir_all(&prefix).with_context(|| format!("create {}", prefix.display()))?;
    let mut command = Command::new("npm");
    command
        .args(["install", "--no-audit", "--no-fund", "--prefix"])
        .arg(&prefix)
        .args(NODE.map(|(_, version)| version));
    shell::step("install puppeteer-core and ws", &mut command)
}
