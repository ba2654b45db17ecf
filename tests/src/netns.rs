//! Network namespaces that vanish with their owner, whatever happens to it.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result, ensure};
use nix::sched::{CloneFlags, setns};

/// Every namespace of the lab is called `relay-PID-N-LABEL`, so that leftovers of a killed process can be told.
const PREFIX: &str = "relay-";

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A namespace; dropping it kills what runs inside and removes it with its interfaces.
#[derive(Debug)]
pub struct NetNs {
    name: String,
}

impl NetNs {
    /// A new one, loopback up.
    pub fn new(label: &str) -> Result<Self> {
        let name = format!(
            "{PREFIX}{}-{}-{label}",
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed)
        );
        ip(&["netns", "add", &name])?;
        let namespace = Self { name };
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `ip` inside.
    pub fn ip(&self, arguments: &[&str]) -> Result<()> {
        let mut all = vec!["-n", &self.name];
        all.extend(arguments);
        ip(&all)
    }

    /// Runs a command inside to its end; its output on failure is in the error.
    pub fn run(&self, program: &str, arguments: &[&str]) -> Result<String> {
        output(self.command(program).args(arguments))
    }

    /// A command that will run inside and die with the thread that starts it. A group of its own keeps the
    /// terminal's Ctrl-C from it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &self.name, program])
            .process_group(0);
        die_with_parent(&mut command);
        command
    }

    /// Runs `work` on a thread that is inside; sockets it makes stay inside.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let file = self.open()?;
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                enter_for_good(&file)?;
                work()
            });
            thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }
}

impl NetNs {
    /// For a thread that will [`enter_for_good`].
    pub fn open(&self) -> Result<File> {
        File::open(format!("/run/netns/{}", self.name)).context("open the namespace")
    }
}

/// Takes this thread into a namespace; it stays there.
pub fn enter_for_good(namespace: &File) -> Result<()> {
    setns(namespace, CloneFlags::CLONE_NEWNET).context("enter the namespace")
}

impl Drop for NetNs {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Namespaces of the lab whose process is gone.
pub fn stale() -> Vec<String> {
    let gone = |pid: &str| !Path::new("/proc").join(pid).exists();
    names()
        .filter(|name| owner(name).is_some_and(gone))
        .collect()
}

/// Removes them.
pub fn remove_stale() {
    stale().iter().for_each(|name| remove(name));
}

/// Removes what `pid` made, whether it still runs or not.
pub fn remove_of(pid: u32) {
    let pid = pid.to_string();
    names()
        .filter(|name| owner(name) == Some(&pid))
        .for_each(|name| remove(&name));
}

fn names() -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir("/run/netns")
        .into_iter()
        .flatten()
        .flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok())
}

/// The process that made the namespace `relay-PID-N-LABEL`.
fn owner(name: &str) -> Option<&str> {
    let pid = name.strip_prefix(PREFIX)?.split('-').next()?;
    pid.bytes().all(|byte| byte.is_ascii_digit()).then_some(pid)
}

fn remove(name: &str) {
    // Processes first: a namespace lives on while anything runs in it.
    if let Ok(pids) = output(Command::new("ip").args(["netns", "pids", name])) {
        for pid in pids.split_whitespace().filter_map(|p| p.parse().ok()) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }
    let _ = ip(&["netns", "del", name]);
}

/// Makes the child get SIGKILL when the thread that starts it ends.
pub fn die_with_parent(command: &mut Command) {
    let set =
        || nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL).map_err(Into::into);
    // SAFETY: prctl is async-signal-safe and touches no memory of this process.
    unsafe { command.pre_exec(set) };
}

fn ip(arguments: &[&str]) -> Result<()> {
    output(Command::new("ip").args(arguments)).map(drop)
}

/// Runs to the end; stdout, or an error with everything it said.
pub fn output(command: &mut Command) -> Result<String> {
    let out = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("start {command:?}"))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    ensure!(
        out.status.success(),
        "{command:?}: {}\n{}{}",
        out.status,
        text(&out.stdout),
        text(&out.stderr)
    );
    Ok(text(&out.stdout))
}
