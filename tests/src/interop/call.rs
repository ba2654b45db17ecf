//! Two real browsers in one meeting, each in its namespace, told what to do line by line.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Tools;
use crate::netns::NetNs;

/// Chromium takes some seconds to start where two cores do everything.
const PATIENCE: Duration = Duration::from_secs(60);

/// What one side sees.
#[derive(Debug, Clone, Deserialize)]
pub struct Side {
    /// Milliseconds of the page's life, as all times here.
    pub now: f64,
    /// Of the other's video, shown.
    pub frames: u32,
    pub decoded: u32,
    pub first_ms: Option<f64>,
    /// The longest without a new frame since the mark.
    pub gap_ms: f64,
    /// How its own relayed address is reached, of the pair in use.
    pub relay_protocol: Option<String>,
    pub candidate_type: Option<String>,
    /// Of the data channel.
    pub channel: Option<String>,
    pub heard: Vec<String>,
    pub events: Vec<Event>,
}

/// What the SDK told the application.
#[derive(Debug, Clone, Deserialize)]
pub struct Event {
    pub event: String,
    pub at: f64,
    pub proto: Option<String>,
    pub to: Option<String>,
    pub reason: Option<String>,
    pub gap_ms: Option<f64>,
    pub lost: Option<u64>,
    pub code: Option<String>,
    pub error: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
pub struct Look {
    pub near: Side,
    pub far: Side,
}

impl Look {
    pub fn sides(&self) -> [&Side; 2] {
        [&self.near, &self.far]
    }
}

/// Who takes part, and under which address of the proxy.
pub struct Seat<'a> {
    pub namespace: &'a NetNs,
    pub host: &'a str,
}

/// Two browsers; they end when it is dropped.
pub struct Browsers {
    driver: Child,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
}

impl Browsers {
    pub fn start(tools: &Tools, near: &Seat<'_>, far: &Seat<'_>) -> Result<Self> {
        let mut command = std::process::Command::new("node");
        command.arg(Tools::script("cloud_call.mjs"));
        command.arg("--modules").arg(tools.node_modules());
        command.args(["--near", near.namespace.name(), "--near-host", near.host]);
        command.args(["--far", far.namespace.name(), "--far-host", far.host]);
        crate::netns::die_with_parent(&mut command);
        let mut driver = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("start node")?;
        let output = driver.stdout.take().context("piped")?;
        let (say, answers) = channel();
        std::thread::spawn(move || {
            let lines = BufReader::new(output).lines();
            lines
                .map_while(Result::ok)
                .try_for_each(|line| say.send(line))
        });
        let commands = driver.stdin.take();
        let browsers = Self {
            driver,
            commands,
            answers,
        };
        browsers.answer().context("start two Chromium")?;
        Ok(browsers)
    }

    /// Both join a new meeting.
    pub fn open(&mut self, mode: &str) -> Result<()> {
        self.tell(&json!({ "do": "open", "mode": mode })).map(drop)
    }

    pub fn look(&mut self) -> Result<Look> {
        Ok(serde_json::from_value(
            self.tell(&json!({ "do": "look" }))?,
        )?)
    }

    /// Looks until what it sees is `good`; what it saw last is in the error.
    pub fn look_until(
        &mut self,
        limit: Duration,
        what: &str,
        good: impl Fn(&Look) -> bool,
    ) -> Result<Look> {
        let end = std::time::Instant::now() + limit;
        loop {
            let look = self.look()?;
            if good(&look) {
                return Ok(look);
            }
            ensure!(
                std::time::Instant::now() < end,
                "not within {limit:?}: {what}: {look:#?}"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Gaps are counted from here.
    pub fn mark(&mut self) -> Result<()> {
        self.tell(&json!({ "do": "mark" })).map(drop)
    }

    /// The near side, over the data channel.
    pub fn say(&mut self, text: &str) -> Result<()> {
        self.tell(&json!({ "do": "say", "text": text })).map(drop)
    }

    pub fn close(&mut self) -> Result<()> {
        self.tell(&json!({ "do": "close" })).map(drop)
    }

    fn tell(&mut self, command: &Value) -> Result<Value> {
        let commands = self.commands.as_mut().context("it was told to end")?;
        writeln!(commands, "{command}").context("the driver is gone")?;
        self.answer().with_context(|| command.to_string())
    }

    fn answer(&self) -> Result<Value> {
        let line = self.answers.recv_timeout(PATIENCE).context("no answer")?;
        let answer: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        ensure!(answer.get("fault").is_none(), "{line}");
        Ok(answer)
    }
}

impl Drop for Browsers {
    fn drop(&mut self) {
        // Its end is the end of its commands: browsers first, then what they wrote.
        self.commands = None;
        let ended = crate::eventually::within(Duration::from_secs(10), "the driver's end", || {
            matches!(self.driver.try_wait(), Ok(Some(_))).then_some(())
        });
        if ended.is_err() {
            let _ = self.driver.kill();
            let _ = self.driver.wait();
        }
    }
}
