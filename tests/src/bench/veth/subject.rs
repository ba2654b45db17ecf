//! What is measured: the reflector, this relay, coturn; each with its sessions set up by real TURN clients.

use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::flows::{Flows, UNMETERED};
use super::generator::Template;
use super::{OUTER, OUTER_CARD, RELAY, mac};
use crate::bench::packet::shared::{HEADER_WORDS, Harness};
use crate::bench::process::{self, run_time_of as run_time};
use crate::bench::relay::{self, Wanted};
use crate::client::TurnClient;
use crate::eventually::{eventually, within};
use crate::home::Home;
use crate::netns::{NetNs, output};
use crate::packet::{channel_data, udp};
use crate::relay::Relay;
use crate::topology::attach;

/// A running subject with its sessions.
pub struct Subject {
    name: &'static str,
    running: Running,
    flows: Flows,
    macs: ([u8; 6], [u8; 6]),
    pub clients: Vec<TurnClient>,
}

enum Running {
    Reflector(#[expect(dead_code, reason = "attached while it lives")] aya::Ebpf),
    Relay(Relay),
    Coturn(Coturn),
    /// Between two relays.
    Nothing,
}

/// coturn, with the program that lets its veth receive live frames.
struct Coturn {
    child: Child,
    _pass: aya::Ebpf,
}

impl Drop for Coturn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub const FIRST_PORT: u16 = 20_000;
pub const CHANNEL: u16 = 0x4000;
pub const USER: (&str, &str) = ("bench", "bench-password");

impl Subject {
    pub fn start(
        name: &'static str,
        outer: &NetNs,
        inner: &NetNs,
        card: &str,
        sessions: u32,
    ) -> Result<Self> {
        let flows = Flows::new(sessions)?;
        let running = match name {
            "reflector" => Running::Reflector(attach(inner, card, "reflect")?),
            "relay" => Running::Relay(relay(inner, card, Arc::new(Home::new()?), flows)?),
            "coturn" => Running::Coturn(coturn(inner, card)?),
            other => bail!("no subject {other}"),
        };
        Self::with(name, running, outer, inner, card, flows)
    }

    /// This relay, in a home where its sessions outlive it.
    pub fn surviving(outer: &NetNs, inner: &NetNs, card: &str, sessions: u32) -> Result<Self> {
        let flows = Flows::new(sessions)?;
        let running = Running::Relay(relay(inner, card, Arc::new(Home::surviving()?), flows)?);
        Self::with("relay", running, outer, inner, card, flows)
    }

    fn with(
        name: &'static str,
        running: Running,
        outer: &NetNs,
        inner: &NetNs,
        card: &str,
        flows: Flows,
    ) -> Result<Self> {
        let clients = match &running {
            Running::Reflector(_) => Vec::new(),
            _ => outer.enter(|| flows.set_up())?,
        };
        if let Running::Relay(relay) = &running {
            eventually("all sessions run in the kernel", || {
                relay
                    .status()
                    .is_ok_and(|s| s.kernel_sessions >= u64::from(flows.count))
            })?;
        }
        let macs = (mac(inner, card)?, mac(outer, OUTER_CARD)?);
        Ok(Self {
            name,
            running,
            flows,
            macs,
            clients,
        })
    }

    pub fn name(&self) -> &'static str {
        self.name
    }

    pub fn pid(&self) -> Option<u32> {
        match &self.running {
            Running::Reflector(_) => None,
            Running::Relay(relay) => Some(relay.pid()),
            Running::Coturn(coturn) => Some(coturn.child.id()),
            Running::Nothing => None,
        }
    }

    fn relay(&self) -> Result<&Relay> {
        match &self.running {
            Running::Relay(relay) => Ok(relay),
            _ => bail!("{} is no relay of ours", self.name),
        }
    }

    pub fn home(&self) -> Result<Arc<Home>> {
        Ok(self.relay()?.home())
    }

    pub fn kernel_sessions(&self) -> Result<u64> {
        Ok(self.relay()?.status()?.kernel_sessions)
    }

    /// Ends this relay in some way; its home is what it leaves.
    pub fn end(&mut self, how: impl FnOnce(Relay) -> Result<Arc<Home>>) -> Result<Arc<Home>> {
        match std::mem::replace(&mut self.running, Running::Nothing) {
            Running::Relay(relay) => how(relay),
            _ => bail!("{} is no relay of ours", self.name),
        }
    }

    /// Starts the next relay in the home of the last.
    pub fn start_next(&mut self, inner: &NetNs, card: &str, home: Arc<Home>) -> Result<&Relay> {
        self.running = Running::Relay(relay(inner, card, home, self.flows)?);
        self.relay()
    }

    /// What the generator sends to this subject.
    pub fn packet(&self, payload: usize) -> Result<Template> {
        let data = vec![0x55; payload];
        let from = SocketAddr::new(OUTER.parse()?, FIRST_PORT);
        let packet = match self.running {
            Running::Reflector(_) => udp(from, SocketAddr::new(RELAY.parse()?, 9), &data),
            _ => udp(
                from,
                SocketAddr::new(RELAY.parse()?, 3478),
                &channel_data(CHANNEL, &data, 0),
            ),
        };
        let frame = crate::packet::Udp {
            macs: self.macs,
            ..packet
        }
        .bytes();
        let mut header = [0; HEADER_WORDS];
        for (word, bytes) in header.iter_mut().zip(frame.chunks_exact(8)) {
            *word = u64::from_ne_bytes(bytes.try_into()?);
        }
        let harness = Harness {
            header,
            length: frame.len() as u32,
            flows: self.flows.count,
            address_mask: 0,
            source_port_mask: 0xffff,
            port_mask: 0,
            shift: 0,
            is_v6: 0,
            one_in: 1,
            rtp: 0,
            channel_bits: match self.running {
                Running::Reflector(_) => 0,
                _ => self.flows.channel_bits,
            },
        };
        Ok((harness, frame))
    }
}

fn relay(inner: &NetNs, card: &str, home: Arc<Home>, flows: Flows) -> Result<Relay> {
    let config = format!(
        "[kernel]\nmax_sessions = {}\n{UNMETERED}",
        (2 * flows.count).max(65_536)
    );
    let wanted = Wanted {
        config: &config,
        arguments: &["--xdp", "native"],
        ..Wanted::default()
    };
    relay::start(home, inner, card, &wanted)
}

fn coturn(inner: &NetNs, card: &str) -> Result<Coturn> {
    let pass = attach(inner, card, "pass")?;
    Ok(Coturn {
        child: start_coturn(inner)?,
        _pass: pass,
    })
}

/// Debian's coturn on CPU 1 with one relay thread, listening for UDP and TCP.
pub fn start_coturn(inner: &NetNs) -> Result<Child> {
    start_coturn_with(inner, &["--no-tls"], 3478)
}

/// The same with other arguments, once it listens on this TCP port.
pub fn start_coturn_with(inner: &NetNs, more: &[&str], port: u16) -> Result<Child> {
    let user = format!("{}:{}", USER.0, USER.1);
    let mut command = inner.command("taskset");
    let who = ["-c", "1", "turnserver", "-n", "-L", RELAY, "-E", RELAY];
    let how = ["-m", "1", "-a", "-u", &user, "-r", "bench"];
    let quiet = ["--no-dtls", "--no-cli", "--log-file", "stdout"];
    let small = ["--simple-log", "--pidfile", "/dev/null"];
    command.args(who).args(how).args(quiet).args(small);
    let child = command
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    within(Duration::from_secs(10), "coturn listens", || {
        let listens = |table, state, port| {
            let table = inner.run("cat", &[table]).ok()?;
            let address = format!(":{port:04X} 00000000:0000 {state}");
            table.contains(&address).then_some(())
        };
        listens("/proc/net/udp", "07", 3478)?;
        listens("/proc/net/tcp", "0A", port)
    })?;
    Ok(child)
}

/// Run time of the NAPI thread of a card and of a process, from now on.
pub struct Cpu {
    tasks: Vec<u32>,
    start: u64,
}

impl Cpu {
    pub fn of(card: &str, pid: Option<u32>) -> Result<Self> {
        let mut tasks = napi_threads(card)?;
        if let Some(pid) = pid {
            tasks.extend(process::tasks(pid)?);
        }
        let start = run_time(&tasks);
        Ok(Self { tasks, start })
    }

    pub fn since(&self) -> Result<Duration> {
        let now = run_time(&self.tasks);
        ensure!(now >= self.start, "a task ended while it was measured");
        Ok(Duration::from_nanos(now - self.start))
    }
}

/// Gives the NAPI threads of a card to one CPU.
pub fn pin_napi(card: &str, cpu: usize) -> Result<()> {
    let threads = napi_threads(card)?;
    ensure!(!threads.is_empty(), "{card} has no NAPI thread");
    let mut set = CpuSet::new();
    set.set(cpu)?;
    for thread in threads {
        sched_setaffinity(Pid::from_raw(thread as i32), &set)?;
    }
    Ok(())
}

/// Lets nothing else of the machine keep the NAPI threads of a card waiting, as an interrupt would; and no queue one
/// behind it, which a card would interrupt another CPU for.
pub fn hurry_napi(card: &str) -> Result<()> {
    for (priority, thread) in (50..).zip(napi_threads(card)?) {
        let (priority, thread) = (priority.to_string(), thread.to_string());
        let mut chrt = std::process::Command::new("chrt");
        output(chrt.args(["--fifo", "--pid", &priority, &thread]))?;
    }
    Ok(())
}

/// In the order of its queues.
fn napi_threads(card: &str) -> Result<Vec<u32>> {
    let prefix = format!("napi/{card}-");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        // What follows is a number that grows with the queues.
        if let Some(number) = name.trim().strip_prefix(&prefix) {
            found.push((number.parse::<u32>()?, pid));
        }
    }
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, pid)| pid).collect())
}
