//! The real `relay` command, started in a namespace and driven as an operator would.

mod follower;

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use relay_userspace::api;
use serde::de::DeserializeOwned;

use crate::home::Home;
use crate::netns::{NetNs, output};
use crate::privileged::target_directory;
pub use follower::Follower;

/// A running `relay serve`; killed when dropped.
pub struct Relay {
    child: Child,
    admin: PathBuf,
    home: Arc<Home>,
    pub ready: String,
}

/// Where the command is: `RELAY_BIN`, or what `cargo xtask build` made.
pub fn binary() -> PathBuf {
    std::env::var_os("RELAY_BIN")
        .map_or_else(|| target_directory().join("release/relay"), PathBuf::from)
}

impl Relay {
    /// Starts it in `namespace` and waits for its readiness line.
    pub fn start(namespace: &NetNs, arguments: &[&str]) -> Result<Self> {
        Self::start_at(Arc::new(Home::new()?), namespace, arguments)
    }

    /// The same in a home that others may have lived in before.
    pub fn start_at(home: Arc<Home>, namespace: &NetNs, arguments: &[&str]) -> Result<Self> {
        let path = binary();
        Self::run(
            home,
            namespace.command(path.to_str().context("path of the command")?),
            arguments,
        )
    }

    /// The same with one CPU to use.
    pub fn start_on(
        cpu: usize,
        home: Arc<Home>,
        namespace: &NetNs,
        arguments: &[&str],
    ) -> Result<Self> {
        let mut command = namespace.command("taskset");
        command.arg("-c").arg(cpu.to_string()).arg(binary());
        Self::run(home, command, arguments)
    }

    /// Starts whatever `command` is, with `serve` and its arguments behind it.
    pub fn spawn(command: Command, arguments: &[&str]) -> Result<Self> {
        Self::run(Arc::new(Home::new()?), command, arguments)
    }

    /// The same in a home that is given.
    pub fn spawn_at(home: Arc<Home>, command: Command, arguments: &[&str]) -> Result<Self> {
        Self::run(home, command, arguments)
    }

    fn run(home: Arc<Home>, mut command: Command, arguments: &[&str]) -> Result<Self> {
        let admin = home.path().join("admin.sock");
        let log = std::fs::File::create(home.path().join("log"))?;
        command
            .arg("serve")
            .arg("--admin-socket")
            .arg(&admin)
            .args(["--metrics", "off"])
            .args(arguments);
        command
            .envs(home.environment())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log);
        let mut child = command
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let mut ready = String::new();
        BufReader::new(child.stdout.take().context("its stdout")?).read_line(&mut ready)?;
        let relay = Self {
            child,
            admin,
            home,
            ready: ready.trim().to_owned(),
        };
        ensure!(
            relay.ready.starts_with("relay ready"),
            "relay did not start:\n{}",
            relay.log()
        );
        Ok(relay)
    }

    /// Everything it wrote to stderr.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }

    /// Runs a `relay` subcommand against it.
    pub fn cli(&self, arguments: &[&str]) -> Result<String> {
        output(
            Command::new(binary())
                .arg("--admin-socket")
                .arg(&self.admin)
                .args(arguments),
        )
    }

    /// Runs one that goes on.
    pub fn follow(&self, arguments: &[&str]) -> Result<Follower> {
        let mut command = Command::new(binary());
        command.arg("--admin-socket").arg(&self.admin);
        Follower::start(command.args(arguments))
    }

    fn json<T: DeserializeOwned>(&self, arguments: &[&str]) -> Result<T> {
        let text = self.cli(arguments)?;
        serde_json::from_str(&text).with_context(|| format!("{arguments:?} printed {text}"))
    }

    /// Body of a GET of an admin path.
    pub fn admin(&self, path: &str) -> Result<String> {
        let mut socket = UnixStream::connect(&self.admin).context("connect to the admin socket")?;
        write!(
            socket,
            "GET {path} HTTP/1.1\r\nHost: relay\r\nConnection: close\r\n\r\n"
        )?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("an HTTP answer")?;
        ensure!(head.starts_with("HTTP/1.1 200"), "GET {path}: {answer}");
        Ok(body.to_owned())
    }

    pub fn status(&self) -> Result<api::Status> {
        self.json(&["status", "--json"])
    }

    pub fn sessions(&self) -> Result<Vec<api::Session>> {
        self.json(&["session", "list", "--json"])
    }

    /// Where it hears its operator.
    pub fn admin_socket(&self) -> &Path {
        &self.admin
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn home(&self) -> Arc<Home> {
        Arc::clone(&self.home)
    }

    /// SIGKILL; what it leaves is in its home.
    pub fn kill(mut self) -> Result<Arc<Home>> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(Arc::clone(&self.home))
    }

    /// SIGUSR2: it leaves its sessions to the next one.
    pub fn leave(mut self) -> Result<Arc<Home>> {
        let code = self.end(Signal::SIGUSR2)?;
        ensure!(code == 0, "exit code {code} after SIGUSR2:\n{}", self.log());
        Ok(Arc::clone(&self.home))
    }

    /// SIGTERM, and its exit code.
    pub fn stop(&mut self) -> Result<i32> {
        self.end(Signal::SIGTERM)
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, signal).with_context(|| format!("send {signal}"))
    }

    fn end(&mut self, signal: Signal) -> Result<i32> {
        self.signal(signal)?;
        self.exit()
    }

    /// Waits for its end; its exit code.
    pub fn exit(&mut self) -> Result<i32> {
        let status = crate::eventually::within(Duration::from_secs(10), "relay ends", || {
            self.child.try_wait().ok().flatten()
        })?;
        match status.code() {
            Some(code) => Ok(code),
            None => bail!("relay ended by a signal: {status}"),
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- relay's log ---\n{}", self.log());
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
