//! `fuzz [TARGET]`: libFuzzer with coverage on the targets of tests/src/fuzz, one after the other.
//!
//! Inputs it finds worth keeping go to `target/fuzz/corpus`; `--keep` minimises them into the tree. What makes a
//! target panic becomes a file under `tests/fuzz/regressions`, to be named and committed with its fix.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::build::cargo;
use crate::setup::apt;
use crate::{shell, tree};

/// What rustc needs to compile coverage in, as cargo-fuzz passes it; stable takes all of it. There is no sanitizer:
/// that would need a nightly compiler, and what is fuzzed has no `unsafe` of its own but bounds-checked header reads.
const COVERAGE: [&str; 9] = [
    "--cfg",
    "fuzzing",
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Cdebug-assertions",
];
/// A target is in a loop if one input takes as long, in seconds.
const SLOWEST: u32 = 10;

#[derive(clap::Args)]
pub struct Options {
    /// One of tests/fuzz/targets; without it all of them
    target: Option<String>,
    /// How long to look for new inputs, each target
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Then minimise what was found into the corpus of the tree
    #[arg(long)]
    keep: bool,
}

pub fn task(options: &Options) -> Result<()> {
    apt::require(&[("g++", "g++")])?;
    let all = targets()?;
    let wanted: Vec<_> = match &options.target {
        Some(name) if all.contains(name) => vec![name.clone()],
        Some(name) => bail!("no target {name}; there are: {}", all.join(", ")),
        None => all,
    };
    build(&wanted)?;
    let mut broken = Vec::new();
    for target in &wanted {
        if let Err(fault) = run(target, options.seconds) {
            shell::say(&format!("{fault:#}"));
            broken.push(target.as_str());
            continue;
        }
        if options.keep {
            keep(target)?;
        }
    }
    match broken.is_empty() {
        true => Ok(()),
        false => bail!(
            "inputs that break {} are in tests/fuzz/regressions: give each a name, fix what it shows, commit both",
            broken.join(", ")
        ),
    }
}

fn home() -> PathBuf {
    tree::root().join("tests/fuzz")
}

/// Compiled apart from everything else, for coverage changes every crate.
fn built() -> PathBuf {
    tree::target().join("fuzz")
}

fn targets() -> Result<Vec<String>> {
    let folder = home().join("targets");
    let files = std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
    let name = |path: PathBuf| Some(path.file_stem()?.to_str()?.to_owned());
    let mut names: Vec<_> = files.filter_map(|file| name(file.ok()?.path())).collect();
    names.sort();
    Ok(names)
}

fn build(targets: &[String]) -> Result<()> {
    let mut command = cargo();
    command.args(["build", "--release", "--locked", "--manifest-path"]);
    command.arg(home().join("Cargo.toml"));
    // A named target keeps the flags from build scripts.
    command.args(["--target", "x86_64-unknown-linux-gnu", "--target-dir"]);
    command.arg(built());
    for target in targets {
        command.args(["--bin", target]);
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", COVERAGE.join("\x1f"));
    shell::step("build the fuzz targets", &mut command)
}

fn fuzzer(target: &str) -> Command {
    let mut command = Command::new("nice");
    command.arg(
        built()
            .join("x86_64-unknown-linux-gnu/release")
            .join(target),
    );
    command
}

fn run(target: &str, seconds: u32) -> Result<()> {
    let corpus = made(built().join("corpus").join(target))?;
    let regressions = made(home().join("regressions").join(target))?;
    let mut command = fuzzer(target);
    command.arg(format!("-max_total_time={seconds}"));
    command.arg(format!("-timeout={SLOWEST}"));
    command.args([
        "-max_len=4096",
        "-use_value_profile=1",
        "-rss_limit_mb=2048",
    ]);
    command.args(["-verbosity=0", "-print_final_stats=1"]);
    let found = regressions.join("found-");
    command.arg(format!("-artifact_prefix={}", found.display()));
    command.arg(&corpus);
    command.args([
        made(home().join("corpus").join(target))?,
        regressions.clone(),
    ]);
    let ran = shell::step(&format!("fuzz {target}"), &mut command);
    for statistic in statistics(target) {
        shell::say(&format!("  {statistic}"));
    }
    remove_if_empty(&regressions);
    ran
}

/// What libFuzzer says at the end.
fn statistics(target: &str) -> Vec<String> {
    let log = tree::target().join(format!("xtask-logs/fuzz-{target}.log"));
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).into_owned();
    let wanted = ["stat::number_of_executed_units", "stat::new_units_added"];
    let lines = text.lines().map(str::to_owned);
    lines
        .filter(|line| wanted.iter().any(|w| line.starts_with(w)))
        .collect()
}

/// The fewest inputs that reach what all of them reach, named by their content.
fn keep(target: &str) -> Result<()> {
    let (corpus, minimal) = (home().join("corpus").join(target), built().join("minimal"));
    let minimal = made(minimal.join(target))?;
    let mut command = fuzzer(target);
    command.args(["-set_cover_merge=1", "-max_len=1024"]);
    command.args([&minimal, &corpus, &built().join("corpus").join(target)]);
    shell::step(&format!("minimise the corpus of {target}"), &mut command)?;
    std::fs::remove_dir_all(&corpus)?;
    std::fs::create_dir(&corpus)?;
    for file in std::fs::read_dir(&minimal)? {
        let file = file?;
        let name = file
            .file_name()
            .to_string_lossy()
            .chars()
            .take(12)
            .collect::<String>();
        std::fs::copy(file.path(), corpus.join(name))?;
    }
    std::fs::remove_dir_all(&minimal)?;
    Ok(())
}

fn made(folder: PathBuf) -> Result<PathBuf> {
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    Ok(folder)
}

fn remove_if_empty(folder: &Path) {
    // Refused while there is something in it.
    let _ = std::fs::remove_dir(folder);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// They are built with it as it is, and nothing else builds them.
    #[test]
    fn the_lock_file_of_the_targets_is_up_to_date() {
        let mut command = cargo();
        command.args([
            "metadata",
            "--locked",
            "--format-version",
            "1",
            "--manifest-path",
        ]);
        let output = command.arg(home().join("Cargo.toml")).output();
        let output = output.expect("cargo runs");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{told}");
    }
}
