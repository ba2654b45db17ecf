//! The traffic that must not suffer: numbered packets through sessions in the kernel, in userspace, and past the relay.
//!
//! Sockets hold all of a flood's packets (their buffers are made for it) and are read when it is over, so that no reader
//! needs a CPU in between.

use std::collections::HashSet;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};

use super::super::veth::subject::{CHANNEL, FIRST_PORT, USER};
use super::super::veth::{Lab, OUTER, RELAY};
use super::Loss;
use super::junk::MAGIC_COOKIE;
use crate::client::{FromPeer, TurnClient};

/// Everything that is sent to and read from.
pub struct Streams {
    /// With a channel, in the kernel.
    channels: Vec<TurnClient>,
    /// With a permission only: Send and Data indications.
    indications: Vec<TurnClient>,
    /// The peer of all channels, and that of the others.
    peers: [UdpSocket; 2],
    /// On the relay's host, and who sends to it.
    host: [UdpSocket; 2],
    next: AtomicU64,
}

/// How many packets were sent to and from each client, and to the host.
#[derive(Debug, Clone, Copy)]
pub struct Sent {
    /// The number of the first round: what of an earlier flood comes late is not taken for this one's.
    first: u64,
    rounds: u64,
}

/// Not one of the relay's, which `junk` floods.
const HOST_PORT: u16 = 18_000;
/// Packets to the host a round.
const HOST: u64 = 10;
/// A packet's number and session make its data.
type Data = [u8; 12];

impl Streams {
    pub fn open(lab: &Lab, sessions: u16) -> Result<Self> {
        let host = lab
            .inner
            .enter(|| large(UdpSocket::bind((RELAY, HOST_PORT))?))?;
        let to_host = host.local_addr()?;
        lab.outer.enter(|| {
            let peers = [
                large(UdpSocket::bind((OUTER, 0))?)?,
                large(UdpSocket::bind((OUTER, 0))?)?,
            ];
            let mut channels = Vec::new();
            let mut indications = Vec::new();
            for i in 0..sessions + sessions / 5 {
                let mut client = client(FIRST_PORT + i)?;
                if i < sessions {
                    client.bind(CHANNEL, peers[0].local_addr()?)?;
                    channels.push(client);
                } else {
                    client.permit(peers[1].local_addr()?)?;
                    indications.push(client);
                }
            }
            let to_host_socket = UdpSocket::bind((OUTER, 0))?;
            to_host_socket.connect(to_host)?;
            Ok(Self {
                channels,
                indications,
                peers,
                host: [host, to_host_socket],
                next: AtomicU64::new(0),
            })
        })
    }

    /// One packet each way through every session, `rate` times a second, until it is `over`.
    pub fn send(&self, rate: u32, over: &AtomicBool) -> Result<Sent> {
        let (start, mut rounds) = (Instant::now(), 0u64);
        let first = self.next.fetch_add(1 << 32, Ordering::Relaxed);
        let peers = [self.peers[0].local_addr()?, self.peers[1].local_addr()?];
        while !over.load(Ordering::Relaxed) {
            for (i, client) in self.channels.iter().enumerate() {
                let data = data(i, first + rounds);
                client.send(CHANNEL, &data)?;
                self.peers[0].send_to(&data, client.relayed)?;
            }
            for (i, client) in self.indications.iter().enumerate() {
                let data = data(i, first + rounds);
                client.send_indication(peers[1], &data)?;
                self.peers[1].send_to(&data, client.relayed)?;
            }
            for i in 0..HOST {
                self.host[1].send(&data(i as usize, first + rounds))?;
            }
            rounds += 1;
            let due = start + Duration::from_secs(1) * rounds as u32 / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        Ok(Sent { first, rounds })
    }

    /// What of it did not arrive: through the kernel, through userspace, at the host. Fails on a packet too many.
    pub fn losses(&mut self, sent: &Sent) -> Result<[Loss; 3]> {
        let [first, second] = &self.peers;
        let kernel = arrived_at(first, self.channels.len(), sent)?;
        let kernel_back = arrived_at_clients(&mut self.channels, sent)?;
        let userspace = arrived_at(second, self.indications.len(), sent)?;
        let userspace_back = arrived_at_clients(&mut self.indications, sent)?;
        let host = arrived_at(&self.host[0], HOST as usize, sent)?;
        let loss = |sent: u64, arrived: u64| Loss {
            sent,
            lost: sent - arrived,
        };
        let both = |clients: &[TurnClient]| 2 * clients.len() as u64 * sent.rounds;
        Ok([
            loss(both(&self.channels), kernel + kernel_back),
            loss(both(&self.indications), userspace + userspace_back),
            loss(HOST * sent.rounds, host),
        ])
    }
}

pub fn client(port: u16) -> Result<TurnClient> {
    let socket = large(UdpSocket::bind((OUTER, port))?)?;
    let server = SocketAddr::new(RELAY.parse()?, 3478);
    TurnClient::allocate(socket, server, USER.0, USER.1)
}

fn data(session: usize, round: u64) -> Data {
    let mut data = [0; 12];
    data[..4].copy_from_slice(&(session as u32).to_be_bytes());
    data[4..].copy_from_slice(&round.to_be_bytes());
    data
}

/// With room for all of a flood's packets.
fn large(socket: UdpSocket) -> Result<UdpSocket> {
    setsockopt(&socket, sockopt::RcvBufForce, &(256 << 20))?;
    Ok(socket)
}

/// What lies in a socket, however long reading it takes: a wait would end early on a busy machine.
fn next(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<usize>> {
    match recv(socket.as_raw_fd(), buffer, MsgFlags::MSG_DONTWAIT) {
        Ok(length) => Ok(Some(length)),
        Err(Errno::EAGAIN) => Ok(None),
        Err(fault) => Err(fault).context("receive what was relayed"),
    }
}

/// Different packets at a socket that serves `sessions` of them.
fn arrived_at(socket: &UdpSocket, sessions: usize, sent: &Sent) -> Result<u64> {
    let mut seen = HashSet::new();
    let mut buffer = [0; 2048];
    while let Some(length) = next(socket, &mut buffer)? {
        if !is_answer(&buffer[..length]) {
            note(&mut seen, &buffer[..length], sessions, sent)?;
        }
    }
    Ok(seen.len() as u64)
}

/// To a flood in the name of this address, whose ports come to that of a stream as well.
fn is_answer(packet: &[u8]) -> bool {
    packet.get(4..8) == Some(&MAGIC_COOKIE) && packet.len() > size_of::<Data>()
}

fn arrived_at_clients(clients: &mut [TurnClient], sent: &Sent) -> Result<u64> {
    let mut arrived = 0;
    for (i, client) in clients.iter_mut().enumerate() {
        let mut seen = HashSet::new();
        for from_peer in client.received()? {
            if matches!(from_peer, FromPeer::Icmp { .. }) {
                continue;
            }
            let data = from_peer.into_data();
            ensure!(data[..4] == (i as u32).to_be_bytes(), "a stranger's packet");
            note(&mut seen, &data, i + 1, sent)?;
        }
        arrived += seen.len() as u64;
    }
    Ok(arrived)
}

fn note(seen: &mut HashSet<Data>, data: &[u8], sessions: usize, sent: &Sent) -> Result<()> {
    let data: Data = data.try_into().context("data of another length")?;
    let session = u32::from_be_bytes(data[..4].try_into()?);
    let round = u64::from_be_bytes(data[4..].try_into()?);
    if round < sent.first {
        return Ok(());
    }
    ensure!(
        (session as usize) < sessions && round < sent.first + sent.rounds,
        "a packet nobody sent"
    );
    ensure!(seen.insert(data), "a packet twice");
    Ok(())
}
