//! `relay connect` on the caller's host: what it says, and when it said so.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde::Deserialize;
use tempfile::TempDir;

use super::Place;
use super::uplink::EDGE;
use crate::eventually::within;
use crate::relay::binary;
use crate::scratch;

/// Which way datagrams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum Leg {
    #[serde(rename = "udp")]
    Udp,
    #[serde(rename = "tcp")]
    Tls,
}

impl std::fmt::Display for Leg {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Udp => "UDP",
            Self::Tls => "TLS",
        })
    }
}

/// A line of docs/connect.md, as far as a call needs it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    Listening {
        udp: Vec<SocketAddr>,
    },
    TransportSelected {
        proto: Leg,
    },
    Ready {
        relayed: SocketAddr,
    },
    TransportSwitched {
        to: Leg,
        reason: String,
    },
    Reconnecting {
        reason: String,
    },
    #[serde(other)]
    Other,
}

/// Killed when dropped.
pub struct Connector {
    child: Child,
    told: Receiver<(Instant, Event)>,
    folder: TempDir,
}

impl Connector {
    /// With a local port that leads to `callee`.
    pub fn start(place: &Place<'_>, callee: SocketAddr) -> Result<Self> {
        let folder = scratch::folder("call")?;
        let path = binary();
        let path = path.to_str().context("path of the command")?;
        let mut command = place.uplink.caller.command(path);
        command.args(["connect", "--server", EDGE[0], "--tls-name", "relay.test"]);
        command.arg("--ca").arg(place.trust.cert());
        command.args(["--user", place.login.0]);
        command.env("RELAY_CONNECT_PASSWORD", place.login.1);
        command.args(["--mode", "UDP_OVER_TCP", "--json"]);
        command.args(["--forward", &format!("udp/127.0.0.1:0={callee}")]);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.path().join("log"))?);
        let mut child = command.spawn().context("start relay connect")?;
        let (tell, told) = channel();
        let stdout = BufReader::new(child.stdout.take().context("its stdout")?);
        std::thread::spawn(move || note(stdout, &tell));
        Ok(Self {
            child,
            told,
            folder,
        })
    }

    /// What it has said since, the oldest first.
    pub fn next(&self) -> Option<(Instant, Event)> {
        self.told.try_recv().ok()
    }

    /// An error if it ended by itself.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            Some(status) => bail!("relay connect ended ({status}): {}", self.log()),
            None => Ok(()),
        }
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// As a person ends it: it gives its allocation back.
    pub fn stop(&mut self) -> Result<()> {
        self.check()?;
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM)?;
        within(Duration::from_secs(10), "relay connect ends", || {
            self.child.try_wait().ok().flatten()
        })?;
        Ok(())
    }
}

impl Drop for Connector {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Until there is nothing more to read, or nobody to tell.
fn note(said: impl BufRead, tell: &Sender<(Instant, Event)>) {
    for line in said.lines().map_while(Result::ok) {
        let now = Instant::now();
        if let Ok(event) = serde_json::from_str(&line)
            && tell.send((now, event)).is_err()
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Event {
        serde_json::from_str(line).unwrap()
    }

    #[test]
    fn the_lines_of_a_connector_are_understood() {
        let listening = read(r#"{"event":"listening","udp":["127.0.0.1:5004"],"tcp":[]}"#);
        let udp = vec!["127.0.0.1:5004".parse().unwrap()];
        assert_eq!(listening, Event::Listening { udp });
        let selected =
            r#"{"event":"transport-selected","proto":"udp","elapsed_ms":3,"reason":"answered"}"#;
        assert_eq!(read(selected), Event::TransportSelected { proto: Leg::Udp });
        let switched = r#"{"event":"transport-switched","from":"udp","to":"tcp","reason":"silence","gap_ms":2500,"lost":9}"#;
        let expected = Event::TransportSwitched {
            to: Leg::Tls,
            reason: "silence".to_owned(),
        };
        assert_eq!(read(switched), expected);
    }

    #[test]
    fn what_a_call_does_not_need_is_passed_over() {
        let stats = r#"{"event":"stats","sent":1,"received":2,"dropped":0}"#;
        assert_eq!(read(stats), Event::Other);
        let (tell, told) = channel();
        note(format!("not JSON\n{stats}\n").as_bytes(), &tell);
        assert_eq!(told.try_iter().count(), 1);
    }
}
