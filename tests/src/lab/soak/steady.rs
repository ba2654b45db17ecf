//! The sessions that stay: channels of both families and a forward, a packet each way every few milliseconds, each
//! numbered and counted where it arrives.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::PASSWORD;
use super::tag::Tag;
use crate::client::TurnClient;
use crate::eventually::within;
use crate::packet::channel_data;
use crate::relay::Relay;
use crate::topology::{CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, SERVER_V4, SERVER_V6, Topology};

pub const USER: &str = "stays";
const CHANNEL: u16 = 0x4500;
const FORWARD: u16 = 5004;
const PACE: Duration = Duration::from_millis(5);
/// Permissions end after five minutes, whoever sends.
const RENEWAL: Duration = Duration::from_secs(120);
/// By then what was sent has arrived.
const UNDER_WAY: Duration = Duration::from_millis(100);
/// Of the family of client and peer, how often.
const CALLS: [(bool, usize); 2] = [(false, 4), (true, 2)];

#[derive(Debug, Default, Clone, Serialize)]
pub struct Tally {
    pub sent: u64,
    pub lost: u64,
    pub strangers: u64,
}

impl Tally {
    pub fn since(&self, before: &Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            lost: self.lost - before.lost,
            strangers: self.strangers - before.strangers,
        }
    }
}

/// A client, and the peer of its channel.
struct Caller {
    client: TurnClient,
    peer: SocketAddr,
}

/// One direction of one session.
struct Way {
    session: u32,
    from: UdpSocket,
    /// `None`: connected.
    to: Option<SocketAddr>,
    into: UdpSocket,
    /// The sender puts it before its data.
    channel: Option<u16>,
    received: AtomicU64,
    /// Of the packet that arrived last.
    last: AtomicU32,
}

pub struct Steady {
    ways: Vec<Way>,
    clients: Mutex<Vec<Caller>>,
    sent: AtomicU32,
    strangers: AtomicU64,
    paused: AtomicBool,
    failed: AtomicBool,
}

impl Steady {
    pub fn new(topology: &Topology, relay: &Relay) -> Result<Self> {
        let (mut ways, mut clients) = (Vec::new(), Vec::new());
        let inside = |namespace: &crate::netns::NetNs, address: &str| -> Result<UdpSocket> {
            let address: IpAddr = address.parse()?;
            namespace.enter(|| Ok(UdpSocket::bind((address, 0))?))
        };
        for (v6, count) in CALLS {
            let [client, edge, server] = match v6 {
                true => [CLIENT_V6, EDGE_V6, SERVER_V6],
                false => [CLIENT_V4, EDGE_V4, SERVER_V4],
            };
            for _ in 0..count {
                let socket = inside(&topology.client, client)?;
                let peer = inside(&topology.server, server)?;
                let relay = SocketAddr::new(edge.parse()?, 3478);
                let mut client = TurnClient::allocate(socket, relay, USER, PASSWORD)?;
                let address = peer.local_addr()?;
                client.bind(CHANNEL, address)?;
                let near = client.socket.try_clone()?;
                ways.extend(both(near, peer, client.relayed, Some(CHANNEL), ways.len())?);
                clients.push(Caller {
                    client,
                    peer: address,
                });
            }
        }
        let destination = inside(&topology.server, SERVER_V4)?;
        let (listen, to) = (
            format!("udp/{FORWARD}"),
            destination.local_addr()?.to_string(),
        );
        relay.cli(&[
            "forward", "add", "--listen", &listen, "--to", &to, "--name", "stays",
        ])?;
        let client = inside(&topology.client, CLIENT_V4)?;
        client.connect((EDGE_V4, FORWARD))?;
        client.send(
            &Tag {
                session: u32::MAX,
                number: 0,
            }
            .bytes(),
        )?;
        destination.set_read_timeout(Some(Duration::from_secs(5)))?;
        let (_, port) = destination
            .recv_from(&mut [0; 64])
            .context("the forward's first packet")?;
        ways.extend(both(client, destination, port, None, ways.len())?);
        Ok(Self {
            ways,
            clients: Mutex::new(clients),
            sent: AtomicU32::new(0),
            strangers: AtomicU64::new(0),
            paused: AtomicBool::new(false),
            failed: AtomicBool::new(false),
        })
    }

    /// Sessions.
    pub fn len(&self) -> usize {
        self.ways.len() / 2
    }

    pub fn failed(&self) -> bool {
        self.failed.load(Relaxed)
    }

    /// Sends and receives until `done`.
    pub fn run(&self, done: &AtomicBool) -> Result<()> {
        let mut renewed = Instant::now();
        let mut step = || {
            self.tick()?;
            if renewed.elapsed() > RENEWAL {
                renewed = Instant::now();
                self.renew()?;
            }
            Ok(())
        };
        let result = std::iter::repeat_with(&mut step)
            .take_while(|_| !done.load(Relaxed))
            .find(Result::is_err);
        if result.is_some() {
            self.failed.store(true, Relaxed);
        }
        result.unwrap_or(Ok(()))
    }

    fn tick(&self) -> Result<()> {
        if !self.paused.load(Relaxed) {
            let number = self.sent.load(Relaxed) + 1;
            self.ways.iter().try_for_each(|way| way.send(number))?;
            self.sent.store(number, Relaxed);
        }
        self.listen()
    }

    fn listen(&self) -> Result<()> {
        for way in &self.ways {
            self.strangers.fetch_add(way.receive()?, Relaxed);
        }
        std::thread::sleep(PACE);
        Ok(())
    }

    /// Every client refreshes what it has. Nothing is under way that would come instead of an answer.
    fn renew(&self) -> Result<()> {
        let start = Instant::now();
        while start.elapsed() < UNDER_WAY {
            self.listen()?;
        }
        self.each_client(|caller| {
            caller.client.refresh(600)?;
            caller.client.bind(CHANNEL, caller.peer)?;
            Ok(caller.client.socket.set_nonblocking(true)?)
        })
    }

    fn each_client(&self, with: impl Fn(&mut Caller) -> Result<()>) -> Result<()> {
        let mut clients = self
            .clients
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        clients.iter_mut().try_for_each(|caller| {
            caller.client.socket.set_nonblocking(false)?;
            with(caller).context("a session that stays is refreshed")
        })
    }

    /// Stops for a moment, so that nothing is under way, and counts.
    pub fn settle(&self) -> Result<Tally> {
        self.paused.store(true, Relaxed);
        let tally = || {
            let sent = u64::from(self.sent.load(Relaxed));
            let missing = |way: &Way| sent.saturating_sub(way.received.load(Relaxed));
            Tally {
                sent: sent * self.ways.len() as u64,
                lost: self.ways.iter().map(missing).sum(),
                strangers: self.strangers.load(Relaxed),
            }
        };
        // What was lost stays lost; what is only late arrives by then.
        let mut seen = tally();
        let mut quiet = Instant::now();
        while quiet.elapsed() < Duration::from_millis(500) {
            std::thread::sleep(Duration::from_millis(20));
            let now = tally();
            if (now.sent, now.lost) != (seen.sent, seen.lost) {
                (seen, quiet) = (now, Instant::now());
            }
        }
        self.paused.store(false, Relaxed);
        Ok(seen)
    }

    /// Every way hears what was sent after this call.
    pub fn wait_until_all_go_on(&self, limit: Duration) -> Result<()> {
        let now = self.sent.load(Relaxed);
        within(limit, "all sessions that stay go on", || {
            let behind = |way: &&Way| way.last.load(Relaxed) <= now + 1;
            self.ways.iter().find(behind).is_none().then_some(())
        })
        .with_context(|| {
            let last: Vec<_> = self.ways.iter().map(|w| w.last.load(Relaxed)).collect();
            format!("sent {now} before; each way heard last {last:?}")
        })
    }

    /// Every client leaves.
    pub fn end(&self, relay: &Relay) -> Result<()> {
        self.each_client(|caller| caller.client.refresh(0).map(drop))?;
        relay.cli(&["forward", "remove", "stays"]).map(drop)
    }
}

fn both(
    near: UdpSocket,
    far: UdpSocket,
    relayed: SocketAddr,
    channel: Option<u16>,
    session: usize,
) -> Result<[Way; 2]> {
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let way = |from: &UdpSocket, to, into: &UdpSocket, channel| {
        anyhow::Ok(Way {
            session: session as u32,
            from: from.try_clone()?,
            to,
            into: into.try_clone()?,
            channel,
            received: AtomicU64::new(0),
            last: AtomicU32::new(0),
        })
    };
    Ok([
        way(&near, None, &far, channel)?,
        way(&far, Some(relayed), &near, None)?,
    ])
}

impl Way {
    fn send(&self, number: u32) -> Result<()> {
        let data = Tag {
            session: self.session,
            number,
        }
        .bytes();
        let packet = match self.channel {
            Some(channel) => channel_data(channel, &data, 0),
            None => data.to_vec(),
        };
        let sent = match self.to {
            Some(to) => self.from.send_to(&packet, to),
            None => self.from.send(&packet),
        };
        match sent {
            Err(error) if is_of_the_network(&error) => Ok(()),
            sent => sent.map(drop).context("send"),
        }
    }

    /// For whoever has to find out why.
    fn say_gap(&self, last: u32, number: u32) {
        let (session, to) = (self.session, self.into.local_addr());
        let now = super::elapsed().as_secs_f64();
        eprintln!("{now:.3}: way {session} to {to:?} hears {number} after {last}");
    }

    /// Takes what has come. How many were not of this session.
    fn receive(&self) -> Result<u64> {
        let (mut buffer, mut strangers) = ([0; 256], 0);
        loop {
            match self.into.recv(&mut buffer) {
                Ok(length) => match Tag::read(&buffer[..length]) {
                    Some(tag) if tag.session == self.session => {
                        self.received.fetch_add(1, Relaxed);
                        let last = self.last.fetch_max(tag.number, Relaxed);
                        if tag.number != last + 1 {
                            self.say_gap(last, tag.number);
                        }
                    }
                    _ => {
                        eprintln!("{} hears {:?}", self.session, &buffer[..length]);
                        strangers += 1;
                    }
                },
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(strangers),
                Err(error) if is_of_the_network(&error) => {}
                Err(error) => return Err(error).context("receive"),
            }
        }
    }
}

/// What a link that is down, or a port nobody holds for a moment, is told by.
fn is_of_the_network(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
    )
}
