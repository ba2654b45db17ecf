//! A second process that waits for the lab's end, however it ends, and removes its namespaces and folders. Even SIGKILL.

use std::io::Read;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

use crate::residue;

/// The other process. It holds one end of a pipe, this process the other: the end of file is the lab's end.
#[derive(Debug)]
pub struct Janitor(Child);

impl Janitor {
    /// Starts `lab sweep` for this process.
    pub fn start() -> Result<Self> {
        let lab = std::env::current_exe().context("path of this command")?;
        let mut command = Command::new(lab);
        command
            .arg("sweep")
            .arg(std::process::id().to_string())
            .process_group(0);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Ok(Self(command.spawn().context("start the janitor")?))
    }
}

impl Drop for Janitor {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// What the other process does: waits for the end of its input, then removes what `pid` made.
pub fn sweep(pid: u32) -> Result<()> {
    std::io::stdin()
        .read_to_end(&mut Vec::new())
        .context("wait for the lab's end")?;
    residue::sweep_of(pid);
    Ok(())
}
