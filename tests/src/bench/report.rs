//! `bench report`: runs every bench as its own process, keeps what each printed, and writes the document from that.
//!
//! `docs/performance/NAME.json` is what a bench printed, with its command and date; `--render` makes the document from
//! these alone.

mod page;
mod signaling;
mod stream;
mod svg;
mod switch;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

/// What to do.
#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// Measure nothing: write the document from what was measured before
    #[arg(long)]
    pub render: bool,
    /// Measure only these
    #[arg(long, value_delimiter = ',', default_values_t = BENCHES.map(|b| b.name.to_owned()))]
    pub only: Vec<String>,
    /// Where `performance.md` and `performance/` are
    #[arg(long, default_value = "docs")]
    pub directory: PathBuf,
}

struct Bench {
    name: &'static str,
    /// Short, and enough for the ratios.
    arguments: &'static [&'static str],
}

const BENCHES: [Bench; 9] = [
    Bench {
        name: "packet",
        arguments: &[
            "--flows",
            "1,1000000",
            "--rounds",
            "3",
            "--packets",
            "500000",
        ],
    },
    Bench {
        name: "veth",
        arguments: &["--rounds", "3", "--sessions", "1,1000,100000"],
    },
    Bench {
        name: "latency",
        arguments: &["--rounds", "3"],
    },
    Bench {
        name: "flood",
        arguments: &["--seconds", "2"],
    },
    Bench {
        name: "control",
        arguments: &["--rounds", "2"],
    },
    Bench {
        name: "stream",
        arguments: &["--rounds", "3"],
    },
    Bench {
        name: "signaling",
        arguments: &["--rounds", "5"],
    },
    Bench {
        name: "switch",
        arguments: &["--runs", "20"],
    },
    Bench {
        name: "survive",
        arguments: &["--seconds", "3"],
    },
];

pub fn run(options: &Options) -> Result<()> {
    let kept = options.directory.join("performance");
    std::fs::create_dir_all(&kept).with_context(|| format!("make {}", kept.display()))?;
    for name in &options.only {
        ensure!(
            BENCHES.iter().any(|bench| bench.name == name),
            "no bench {name:?}: there are {}",
            BENCHES.map(|bench| bench.name).join(", ")
        );
    }
    if !options.render {
        for bench in BENCHES {
            if options.only.iter().any(|name| name == bench.name) {
                measure(&bench, &kept)?;
            }
        }
    }
    let runs: Vec<(&str, Value)> = BENCHES
        .iter()
        .filter_map(|bench| Some((bench.name, read(&kept, bench.name).transpose()?)))
        .map(|(name, run)| Ok((name, run?)))
        .collect::<Result<_>>()?;
    if runs.is_empty() {
        bail!(
            "{} has no run to write about: leave out --render",
            kept.display()
        );
    }
    let page = page::write(&runs, &kept)?;
    let path = options.directory.join("performance.md");
    std::fs::write(&path, page).with_context(|| format!("write {}", path.display()))?;
    eprintln!("wrote {}", path.display());
    Ok(())
}

fn measure(bench: &Bench, kept: &Path) -> Result<()> {
    let command = format!(
        "lab bench {} --json {}",
        bench.name,
        bench.arguments.join(" ")
    );
    eprintln!("{command}");
    let load = std::fs::read_to_string("/proc/loadavg")?;
    let out = Command::new(std::env::current_exe()?)
        .args(["bench", bench.name, "--json"])
        .args(bench.arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("start {command}"))?;
    ensure!(out.status.success(), "{command}: {}", out.status);
    let result: Value = serde_json::from_slice(&out.stdout)
        .with_context(|| format!("{command} printed no JSON"))?;
    let run = json!({
        "command": command,
        "unix_time": std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)?
            .as_secs(),
        "cpus": std::thread::available_parallelism()?.get(),
        "load_before": load.split(' ').next(),
        "result": result,
    });
    let path = kept.join(format!("{}.json", bench.name));
    std::fs::write(&path, serde_json::to_string_pretty(&run)? + "\n")
        .with_context(|| format!("write {}", path.display()))
}

fn read(kept: &Path, name: &str) -> Result<Option<Value>> {
    let path = kept.join(format!("{name}.json"));
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(
            serde_json::from_str(&text).with_context(|| format!("{}: no JSON", path.display()))?,
        )),
        Err(fault) if fault.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(fault) => Err(fault).with_context(|| format!("read {}", path.display())),
    }
}
