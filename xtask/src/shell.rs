//! Running commands so that a person can follow: each is printed as it could be pasted, its output goes to a log,
//! and the tail of the log is shown when it fails. Everything goes to stderr; stdout belongs to the task's result.

use std::ffi::OsStr;
use std::fs::File;
use std::io::IsTerminal;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use indicatif::{ProgressBar, ProgressStyle};

use crate::tree;

/// Lines of a failed command's log that are shown.
const TAIL: usize = 40;
/// How often a long command says that it still runs, where there is no terminal to draw on.
const STILL_RUNNING: Duration = Duration::from_secs(30);

/// Says something to the person.
pub fn say(text: &str) {
    eprintln!("{text}");
}

/// Runs `command` to its end with progress; its output goes to `target/xtask-logs/TITLE.log`.
pub fn step(title: &str, command: &mut Command) -> Result<()> {
    say(&format!("$ {}", printable(command)));
    let log = log_file(title)?;
    let output = File::create(&log).with_context(|| format!("create {}", log.display()))?;
    command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("start `{}`", printable(command)))?;
    let status = watch(title, &mut child)?;
    let seconds = started.elapsed().as_secs_f32();
    if status.success() {
        say(&format!("  {title}: done in {seconds:.1} s"));
        return Ok(());
    }
    say(&tail(&log));
    bail!(
        "{title} failed ({status}) after {seconds:.1} s; all it wrote is in {}",
        log.display()
    )
}

/// Runs `command` with the terminal as its own: for what a person wants to read while it runs.
pub fn show(command: &mut Command) -> Result<()> {
    say(&format!("$ {}", printable(command)));
    let status = command
        .status()
        .with_context(|| format!("start `{}`", printable(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", printable(command));
    }
    Ok(())
}

/// Becomes `command`, so that signals and the exit code are its own. Returns only if that fails.
pub fn become_command(command: &mut Command) -> anyhow::Error {
    use std::os::unix::process::CommandExt;
    say(&format!("$ {}", printable(command)));
    let shown = printable(command);
    anyhow::Error::new(command.exec()).context(format!("start `{shown}`"))
}

/// What a quiet command printed; `None` if it cannot be started or fails.
pub fn read(program: impl AsRef<OsStr>, arguments: &[&str]) -> Option<String> {
    let out = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .ok()?;
    out.status
        .success()
        .then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// True if `program` is found as a command.
pub fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/bin"].map(Into::into);
    std::env::split_paths(&path)
        .chain(usual)
        .any(|folder| folder.join(program).is_file())
}

/// True as root, without asking libc: who owns this process.
pub fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
}

fn watch(title: &str, child: &mut Child) -> Result<ExitStatus> {
    let bar = std::io::stderr().is_terminal().then(|| spinner(title));
    let started = Instant::now();
    let mut next = STILL_RUNNING;
    loop {
        if let Some(status) = child.try_wait()? {
            if let Some(bar) = bar {
                bar.finish_and_clear();
            }
            return Ok(status);
        }
        if bar.is_none() && started.elapsed() >= next {
            say(&format!(
                "  {title}: still running, {} s",
                started.elapsed().as_secs()
            ));
            next += STILL_RUNNING;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn spinner(title: &str) -> ProgressBar {
    let bar = ProgressBar::new_spinner().with_message(title.to_owned());
    if let Ok(style) = ProgressStyle::with_template("  {spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn log_file(title: &str) -> Result<std::path::PathBuf> {
    let folder = tree::target().join("xtask-logs");
    std::fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let name: String = title
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    Ok(folder.join(format!("{name}.log")))
}

fn tail(log: &Path) -> String {
    let text = std::fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

/// The command as it could be pasted into a shell, environment included.
fn printable(command: &Command) -> String {
    let variables = command
        .get_envs()
        .filter_map(|(name, value)| Some(format!("{}={}", name.to_string_lossy(), quoted(value?))));
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(quoted);
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &OsStr) -> String {
    let word = word.to_string_lossy();
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.into_owned();
    }
    // Encoded rustflags are separated by 0x1f, which a shell can only say this way.
    match word.contains('\x1f') {
        true => format!("$'{}'", word.replace('\x1f', "\\x1f").replace('\'', "\\'")),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_command_can_be_pasted() {
        let mut command = Command::new("cargo");
        command
            .args(["build", "a b", "it's"])
            .env("FLAGS", "-Cx\x1f-Cy");
        assert_eq!(
            printable(&command),
            r"FLAGS=$'-Cx\x1f-Cy' cargo build 'a b' 'it'\''s'"
        );
    }
}
