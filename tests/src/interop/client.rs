//! Runs one foreign client to its end inside the lab and reads its answer. Judges nothing but exit and syntax.

use std::process::Command;

use anyhow::{Context, Result, ensure};
use relay_userspace::api::Traffic;
use serde::Deserialize;

use super::stage::{self, Host, Stage};
use crate::netns::die_with_parent;
use crate::topology::EDGE_V4;

/// The JSON line of the clients in `tests/interop`.
#[derive(Debug, Deserialize)]
pub struct Answer {
    pub ok: bool,
    pub error: Option<String>,
    #[serde(default)]
    pub echoed: u64,
    #[serde(default)]
    pub candidate_types: Vec<String>,
    /// Chromium's nominated pair.
    pub local: Option<String>,
    pub remote: Option<String>,
    pub relay_protocol: Option<String>,
}

/// What a client reaches the relay by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

impl Transport {
    pub const ALL: [Transport; 3] = [Transport::Udp, Transport::Tcp, Transport::Tls];

    /// As browsers name it.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        }
    }

    pub fn port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => stage::TURN_PORT,
            Transport::Tls => stage::TLS_PORT,
        }
    }

    /// Where what such a client sends should be relayed, if it goes by `path` over UDP.
    pub fn path(self, path: Path) -> Path {
        match self {
            Transport::Udp => path,
            Transport::Tcp | Transport::Tls => Path::Userspace,
        }
    }
}

/// Adds the arguments that every client of `tests/interop` knows.
pub fn introduce(command: &mut Command, count: u64) {
    introduce_by(command, count, Transport::Udp);
}

/// The same for those that know other transports.
pub fn introduce_by(command: &mut Command, count: u64, transport: Transport) {
    command.args(["--server", &format!("{EDGE_V4}:{}", transport.port())]);
    if transport != Transport::Udp {
        command.args(["--transport", transport.name()]);
    }
    command.args(["--user", stage::USER, "--password", stage::PASSWORD]);
    command.args(["--count", &count.to_string()]);
}

/// The answer of a client that promised one JSON line, and success.
pub fn ask(stage: &Stage, command: &Command) -> Result<Answer> {
    let text = run(command)?;
    let line = text.lines().find(|line| line.starts_with('{'));
    let line = line.with_context(|| format!("no JSON line: {text}"))?;
    let answer: Answer = serde_json::from_str(line).with_context(|| line.to_owned())?;
    ensure!(answer.ok, "{line}\n{}", stage.logs());
    Ok(answer)
}

/// Everything a client prints, whatever its exit code; killed after 90 s.
pub fn run(command: &Command) -> Result<String> {
    // Around `ip netns exec`, which leaves the command as the only process to stop.
    let mut limited = Command::new("timeout");
    limited.args(["--kill-after=5", "90"]);
    limited
        .arg(command.get_program())
        .args(command.get_args())
        .env("PYTHONDONTWRITEBYTECODE", "1");
    die_with_parent(&mut limited);
    let output = limited
        .output()
        .with_context(|| format!("run {command:?}"))?;
    ensure!(
        output.status.code() != Some(124),
        "still running after 90 s: {command:?}"
    );
    let both = [output.stdout, output.stderr].concat();
    Ok(String::from_utf8_lossy(&both).into_owned())
}

/// Where the relay should have carried the media of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Path {
    /// The kernel where there is one, else userspace: channels and forwards.
    Fastest,
    /// Send and Data indications; never in the kernel.
    Userspace,
}

/// Counters of the relay at one moment, to be compared with a later one.
#[derive(Debug, Clone, Copy)]
pub struct Before {
    kernel: Traffic,
    userspace: Traffic,
}

/// Packets that may pass userspace before the kernel knows a next hop.
const COLD: u64 = 4;

impl Before {
    /// `None` for a server without our counters.
    pub fn read(stage: &Stage) -> Result<Option<Self>> {
        let status = stage.status()?;
        Ok(status.map(|status| Self {
            kernel: status.kernel,
            userspace: status.userspace,
        }))
    }

    /// Fails unless `packets` more were relayed, by the path they belong to.
    pub fn expect(before: Option<Self>, stage: &Stage, path: Path, packets: u64) -> Result<()> {
        let (Some(before), Some(after)) = (before, Self::read(stage)?) else {
            return Ok(());
        };
        let kernel = after.kernel.packets - before.kernel.packets;
        let userspace = after.userspace.packets - before.userspace.packets;
        let moved = format!("{kernel} packets in the kernel and {userspace} in userspace");
        println!("{:?}: {moved}", stage.host());
        if stage.host() == Host::NativeXdp && path == Path::Fastest {
            let least = (packets * 95 / 100).saturating_sub(COLD);
            ensure!(kernel >= least, "of {packets} packets: {moved}");
        } else if stage.host() == Host::Unprivileged {
            ensure!(kernel == 0, "no kernel path, yet {moved}");
        }
        ensure!(
            kernel + userspace >= packets,
            "of {packets} packets: {moved}"
        );
        Ok(())
    }
}
