//! A `relay` command that goes on telling, line by line, until it ends.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use crate::eventually::within;

const PATIENCE: Duration = Duration::from_secs(20);

/// Killed when dropped.
pub struct Follower {
    child: Child,
    lines: Receiver<String>,
}

impl Follower {
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .with_context(|| format!("start {command:?}"))?;
        let (told, lines) = channel();
        let stdout = BufReader::new(child.stdout.take().context("its stdout")?);
        std::thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if told.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, lines })
    }

    /// The next line as JSON; `None`: it has said all.
    pub fn next<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(Some(serde_json::from_str(&line).context(line)?)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("no line within {PATIENCE:?}"),
        }
    }

    /// One that is there already.
    pub fn poll<T: DeserializeOwned>(&self) -> Result<Option<T>> {
        match self.lines.try_recv() {
            Ok(line) => Ok(Some(serde_json::from_str(&line).context(line)?)),
            Err(_) => Ok(None),
        }
    }

    /// Lines up to and with the first that is `last`.
    pub fn until<T: DeserializeOwned>(&self, last: impl Fn(&T) -> bool) -> Result<Vec<T>> {
        let mut all = Vec::new();
        let end = Instant::now() + PATIENCE;
        loop {
            let line = self
                .next()?
                .with_context(|| format!("it ended after {} lines", all.len()))?;
            let found = last(&line);
            all.push(line);
            if found {
                return Ok(all);
            }
            if Instant::now() > end {
                bail!("not among {} lines", all.len());
            }
        }
    }

    /// Waits for its end.
    pub fn exit(&mut self) -> Result<Option<i32>> {
        let ended = within(PATIENCE, "the command ends", || {
            self.child.try_wait().ok().flatten()
        })?;
        Ok(ended.code())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
