//! A foreign server of the lab (an echo peer, a receiver, coturn): its log, its readiness, its end.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::eventually::within;

/// Killed when dropped.
pub struct Background {
    child: Child,
    log: PathBuf,
}

impl Background {
    /// Starts it, both outputs into the file `log`.
    pub fn start(mut command: Command, log: &Path) -> Result<Self> {
        let child = command
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(log)?)
            .stderr(std::fs::File::options().append(true).open(log)?)
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        Ok(Self {
            child,
            log: log.to_path_buf(),
        })
    }

    /// Its process, and those it made.
    pub fn family(&self) -> Result<Vec<u32>> {
        let pid = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"))?;
        let children = children.split_whitespace().map(str::parse);
        let mut family = children.collect::<Result<Vec<_>, _>>()?;
        family.push(pid);
        Ok(family)
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub fn writes(&self, log: &Path) -> bool {
        self.log == log
    }

    /// Whether it ended, and if so, whether well.
    pub fn ended(&mut self) -> Result<Option<bool>> {
        Ok(self.child.try_wait()?.map(|status| status.success()))
    }

    /// Until its log satisfies `seen`.
    pub fn wait_for(&mut self, what: &str, seen: impl Fn(&str) -> bool) -> Result<()> {
        let sight = within(Duration::from_secs(20), what, || {
            let gone = matches!(self.child.try_wait(), Ok(Some(_)));
            let there = seen(&self.log());
            (there || gone).then_some(there)
        });
        let there = sight.with_context(|| self.log())?;
        ensure!(there, "ended before its {what}: {}", self.log());
        Ok(())
    }

    /// Until its namespace has a UDP socket on `port`.
    pub fn wait_for_udp(&mut self, port: u16) -> Result<()> {
        let pid = self.child.id();
        let mark = format!(":{port:04X} ");
        let bound = move |table: &str| {
            std::fs::read_to_string(format!("/proc/{pid}/net/{table}"))
                .is_ok_and(|sockets| sockets.contains(&mark))
        };
        self.wait_for("UDP socket", |_| {
            // Until `ip netns exec` has switched, the tables are those of the machine.
            in_another_namespace(pid) && (bound("udp") || bound("udp6"))
        })
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn in_another_namespace(pid: u32) -> bool {
    let namespace = |whose: &str| std::fs::read_link(format!("/proc/{whose}/ns/net")).ok();
    namespace(&pid.to_string()) != namespace("self")
}
