//! What is measured: the reflector, this relay, coturn; each with its sessions set up by real TURN clients.

use std::net::{SocketAddr, UdpSocket};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::unistd::Pid;

use super::generator::Template;
use super::{OUTER, OUTER_CARD, RELAY, mac};
use crate::bench::packet::shared::{HEADER_WORDS, Harness};
use crate::bench::process::{self, run_time_of as run_time};
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
    sessions: u32,
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
        let running = match name {
            "reflector" => Running::Reflector(attach(inner, card, "reflect")?),
            "relay" => Running::Relay(relay(inner, card, Arc::new(Home::new()?))?),
            "coturn" => Running::Coturn(coturn(inner, card)?),
            other => bail!("no subject {other}"),
        };
        Self::with(name, running, outer, inner, card, sessions)
    }

    /// This relay, in a home where its sessions outlive it.
    pub fn surviving(outer: &NetNs, inner: &NetNs, card: &str, sessions: u32) -> Result<Self> {
        let running = Running::Relay(relay(inner, card, Arc::new(Home::surviving()?))?);
        Self::with("relay", running, outer, inner, card, sessions)
    }

    fn with(
        name: &'static str,
        running: Running,
        outer: &NetNs,
        inner: &NetNs,
        card: &str,
        sessions: u32,
    ) -> Result<Self> {
        let clients = match &running {
            Running::Reflector(_) => Vec::new(),
            _ => outer.enter(|| allocate(sessions))?,
        };
        if let Running::Relay(relay) = &running {
            eventually("all sessions run in the kernel", || {
                relay
                    .status()
                    .is_ok_and(|s| s.kernel_sessions >= u64::from(sessions))
            })?;
        }
        let macs = (mac(inner, card)?, mac(outer, OUTER_CARD)?);
        Ok(Self {
            name,
            running,
            sessions,
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
        self.running = Running::Relay(relay(inner, card, home)?);
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
            flows: self.sessions,
            address_mask: 0,
            source_port_mask: 0xffff,
            port_mask: 0,
            shift: 0,
            is_v6: 0,
            one_in: 1,
            rtp: 0,
            _pad: 0,
        };
        Ok((harness, frame))
    }
}

fn relay(inner: &NetNs, card: &str, home: Arc<Home>) -> Result<Relay> {
    let user = format!("{}:{}", USER.0, USER.1);
    let listen = format!("udp/{RELAY}:3478");
    let arguments = [
        "--interface",
        card,
        "--xdp",
        "native",
        "--listen",
        &listen,
        "--relay-address",
        RELAY,
        "--user",
        &user,
        "--realm",
        "bench",
        "--allow-peer",
        "10.72.0.0/24",
    ];
    Relay::start_at(home, inner, &arguments)
}

fn allocate(sessions: u32) -> Result<Vec<TurnClient>> {
    let server = SocketAddr::new(RELAY.parse()?, 3478);
    let peer = SocketAddr::new(OUTER.parse()?, 9);
    (0..sessions as u16)
        .map(|i| {
            let socket = UdpSocket::bind((OUTER, FIRST_PORT + i))?;
            let mut client = TurnClient::allocate(socket, server, USER.0, USER.1)?;
            client.bind(CHANNEL, peer)?;
            Ok(client)
        })
        .collect()
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

/// Lets nothing else of the machine keep the NAPI threads of a card waiting, as an interrupt would.
pub fn hurry_napi(card: &str) -> Result<()> {
    for thread in napi_threads(card)? {
        let mut chrt = std::process::Command::new("chrt");
        output(chrt.args(["--fifo", "--pid", "50", &thread.to_string()]))?;
    }
    Ok(())
}

fn napi_threads(card: &str) -> Result<Vec<u32>> {
    let prefix = format!("napi/{card}-");
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else {
            continue;
        };
        let name = std::fs::read_to_string(entry.path().join("comm")).unwrap_or_default();
        // The kernel keeps fifteen characters of a name.
        if name.trim().starts_with(&prefix[..prefix.len().min(15)]) {
            found.push(pid);
        }
    }
    Ok(found)
}
