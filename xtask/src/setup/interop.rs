//! Software that nobody here wrote, for the interop tests: coturn's clients, aioice and aiortc, headless Chromium, nginx,
//! curl, what Node has of WebSockets, and TypeScript for the types of the SDK.

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
/// Modules and what is asked of npm: 24 is the last puppeteer that runs on Debian 12's node 18.
const NODE: [(&str, &str); 3] = [
    ("puppeteer-core", "puppeteer-core@24"),
    ("typescript", "typescript@5"),
    ("ws", "ws@8"),
];

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

/// In `target/tools/node_modules`; puppeteer drives Debian's Chromium and downloads none.
fn node() -> Result<()> {
    let prefix = tools();
    let there = |module: &str| {
        let folder = prefix.join("node_modules").join(module);
        folder.join("package.json").exists()
    };
    let missing = NODE.iter().filter(|(module, _)| !there(module));
    let missing: Vec<_> = missing.map(|(_, wanted)| *wanted).collect();
    if missing.is_empty() {
        return Ok(());
    }
    std::fs::create_dir_all(&prefix).with_context(|| format!("create {}", prefix.display()))?;
    let mut command = Command::new("npm");
    command
        .args(["install", "--no-audit", "--no-fund", "--prefix"])
        .arg(&prefix)
        .args(&missing);
    shell::step(&format!("install {}", missing.join(" and ")), &mut command)
}
