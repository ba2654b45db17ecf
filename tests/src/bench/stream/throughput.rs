//! Packets per second and CPU per packet of a server between clients on streams and a UDP peer.
//!
//! Packets of a connection come in bursts, as those of a video's frame do. The load has a rate that both servers can keep;
//! or a window: so many packets at most are on their way, so that nothing is lost to a full socket and a server is measured
//! at its own pace.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::sched::{CpuSet, sched_setaffinity};
use nix::sys::socket::{setsockopt, sockopt};
use nix::unistd::Pid;
use serde::Serialize;

use super::super::pair::Pair;
use super::super::process;
use super::super::veth::OUTER;
use super::super::veth::subject::{CHANNEL, Cpu};
use super::server::Server;
use crate::client::stream::StreamClient;
use crate::packet::channel_data;

/// What is measured.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Setting {
    pub transport: &'static str,
    /// `to_peer` or `to_client`.
    pub direction: &'static str,
    pub connections: usize,
    pub payload: usize,
    /// Packets of one connection at once.
    pub burst: usize,
    /// Packets per second offered; `None`: as many as go.
    pub rate: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
pub struct Sample {
    pub pps: f64,
    pub lost: u64,
    /// Microseconds of the process per packet that arrived.
    pub cpu_us: f64,
    /// Of these in the kernel.
    pub system_us: f64,
    /// Of the receiving half of the server's card, which is not the process's.
    pub softirq_us: f64,
}

/// Packets on their way to a peer.
const WINDOW: u64 = 1024;
/// To a client: what a UDP socket of coturn's holds, and more for each further one.
const WINDOW_OF_ONE: u64 = 64;
const WINDOW_OF_EACH: u64 = 4;
const TICK: Duration = Duration::from_micros(500);
/// Nothing came for so long: what is missing is lost.
const STALL: Duration = Duration::from_millis(50);

/// Clients with a channel each, all to one peer.
pub struct Load {
    clients: Vec<StreamClient>,
    peer: UdpSocket,
    payload: usize,
    rate: Option<u64>,
    burst: usize,
    window: u64,
    sent: AtomicU64,
    arrived: AtomicU64,
    /// Given up.
    lost: AtomicU64,
    over: AtomicBool,
}

impl Load {
    pub fn new(server: &Server, pair: &Pair, setting: &Setting) -> Result<Load> {
        let peer = pair.outer.enter(|| Ok(UdpSocket::bind((OUTER, 0))?))?;
        setsockopt(&peer, sockopt::RcvBufForce, &(16 << 20))?;
        setsockopt(&peer, sockopt::UdpGroSegment, &true)?;
        peer.set_read_timeout(Some(Duration::from_millis(10)))?;
        let mut clients = Vec::new();
        for _ in 0..setting.connections {
            let mut client = server.client(&pair.outer, setting.transport)?;
            client.bind(CHANNEL, peer.local_addr()?)?;
            clients.push(client);
        }
        Ok(Load {
            clients,
            peer,
            payload: setting.payload,
            rate: setting.rate,
            burst: setting.burst,
            window: match setting.direction {
                "to_peer" => WINDOW,
                _ => WINDOW_OF_ONE + WINDOW_OF_EACH * setting.connections as u64,
            },
            sent: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            over: AtomicBool::new(false),
        })
    }

    /// Runs for a fifth of `time` unmeasured, then for `time`.
    pub fn measure(
        mut self,
        server: &Server,
        pair: &Pair,
        setting: &Setting,
        time: Duration,
    ) -> Result<Sample> {
        let mut clients = std::mem::take(&mut self.clients);
        let to_peer = setting.direction == "to_peer";
        let relayed: Vec<SocketAddr> = clients.iter().map(|client| client.relayed).collect();
        let load = &self;
        std::thread::scope(|scope| {
            let sides = move || -> Result<()> {
                std::thread::scope(|scope| {
                    let (senders, receivers) = clients.split_at_mut(match to_peer {
                        true => setting.connections,
                        false => 0,
                    });
                    let sender = scope.spawn(move || match to_peer {
                        true => load.send_by_clients(senders),
                        false => load.send_by_peer(&relayed),
                    });
                    let received = match to_peer {
                        true => load.receive_at_peer(),
                        false => load.receive_at_clients(receivers),
                    };
                    sender.join().expect("the sender's thread").and(received)
                })
            };
            let sides = scope.spawn(sides);
            let sample = load.watch(server, pair, time);
            self.over.store(true, Relaxed);
            sides.join().expect("the receiver's thread")?;
            sample
        })
    }

    fn watch(&self, server: &Server, pair: &Pair, time: Duration) -> Result<Sample> {
        std::thread::sleep(time / 5);
        let card = Cpu::of(&pair.inner_card, None)?;
        let cpu = process::run_time(server.pid())?;
        let [user, system] = process::user_and_system(server.pid())?;
        let (sent, arrived, start) = (self.sent(), self.arrived(), Instant::now());
        std::thread::sleep(time);
        let seconds = start.elapsed().as_secs_f64();
        let (sent, arrived) = (self.sent() - sent, self.arrived() - arrived);
        let lost = sent.saturating_sub(arrived + self.window);
        let cpu = process::run_time(server.pid())? - cpu;
        let ticks = process::user_and_system(server.pid())?;
        let (user, system) = (ticks[0] - user, ticks[1] - system);
        ensure!(arrived > 100, "only {arrived} packets of {sent} arrived");
        let each = |time: Duration| time.as_secs_f64() * 1e6 / arrived as f64;
        Ok(Sample {
            pps: arrived as f64 / seconds,
            lost,
            cpu_us: each(cpu),
            system_us: each(cpu) * system / (user + system).max(1.0),
            softirq_us: each(card.since()?),
        })
    }

    fn sent(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    fn arrived(&self) -> u64 {
        self.arrived.load(Relaxed)
    }

    /// Has each place in turn `send` a burst, as rate or window allow.
    fn pace(&self, places: usize, mut send: impl FnMut(usize) -> Result<()>) -> Result<()> {
        on_cpu(0)?;
        let start = Instant::now();
        let (mut place, mut news) = (0, (self.arrived(), Instant::now()));
        while !self.over.load(Relaxed) {
            let (sent, arrived, lost) = (self.sent(), self.arrived(), self.lost.load(Relaxed));
            if arrived != news.0 {
                news = (arrived, Instant::now());
            } else if news.1.elapsed() > STALL {
                self.lost.store(sent - arrived, Relaxed);
            }
            let due = self.rate.map_or(arrived + lost + self.window, |rate| {
                (start.elapsed().as_secs_f64() * rate as f64) as u64
            });
            let room = due.saturating_sub(sent) as usize;
            if room < self.burst {
                std::thread::sleep(TICK);
                continue;
            }
            send(place)?;
            self.sent.fetch_add(self.burst as u64, Relaxed);
            place = (place + 1) % places;
        }
        Ok(())
    }

    fn send_by_clients(&self, clients: &mut [StreamClient]) -> Result<()> {
        let frame = channel_data(CHANNEL, &vec![0x55; self.payload], 0);
        let frames = frame.repeat(self.burst);
        self.pace(clients.len(), |place| Ok(clients[place].send(&frames)?))
    }

    fn send_by_peer(&self, relayed: &[SocketAddr]) -> Result<()> {
        let data = vec![0x55; self.payload];
        self.pace(relayed.len(), |place| {
            for _ in 0..self.burst {
                self.peer.send_to(&data, relayed[place])?;
            }
            Ok(())
        })
    }

    fn receive_at_peer(&self) -> Result<()> {
        on_cpu(0)?;
        let mut buffer = vec![0; 1 << 16];
        while !self.over.load(Relaxed) {
            if let Ok(length) = self.peer.recv(&mut buffer) {
                self.arrived
                    .fetch_add((length / self.payload) as u64, Relaxed);
            }
        }
        Ok(())
    }

    fn receive_at_clients(&self, clients: &mut [StreamClient]) -> Result<()> {
        on_cpu(0)?;
        for client in clients.iter() {
            client.tcp().set_nonblocking(true)?;
        }
        while !self.over.load(Relaxed) {
            let mut arrived = 0;
            for client in clients.iter_mut() {
                let of_channel = |message: &[u8]| message.len() == self.payload + 4;
                match client.receive(|message| arrived += u64::from(of_channel(message))) {
                    Err(error) if error.kind() != ErrorKind::WouldBlock => return Err(error.into()),
                    _ => {}
                }
            }
            self.arrived.fetch_add(arrived, Relaxed);
            if arrived == 0 {
                std::thread::sleep(TICK);
            }
        }
        Ok(())
    }
}

fn on_cpu(cpu: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
