//! How many sessions are spread over clients, and setting them all up. Sends no data.

use std::net::{SocketAddr, UdpSocket};

use anyhow::{Context, Result};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::subject::{CHANNEL, FIRST_PORT, USER};
use super::{OUTER, RELAY};
use crate::client::TurnClient;

/// Clients at most: those and their allocations fit the ports of a relay, and its files the usual limit of 20,000.
const CLIENTS: u32 = 12_500;
/// Requests on their way at a time.
pub const WAVE: usize = 64;
/// All clients are behind one address, as no real network's are.
pub const UNMETERED: &str = "
[limits]
allocations = 20000
allocations_per_user = 20000
unauthenticated_per_second = 1000000
[shield]
strangers_per_prefix = 1000000
strangers_per_cpu = 1000000
client_address = 1000000
";

/// Channels of a client at most: each has a peer of its own.
pub const PEERS: u32 = 8;

/// Address of the peer of each client's channel of this number. The receiver counts what comes to one port.
pub fn peer(channel: u32) -> String {
    match channel {
        0 => OUTER.to_owned(),
        other => format!("10.72.0.{}", 100 + other),
    }
}

/// How sessions are spread: `1 << channel_bits` channels of each client, each to a peer of its own.
#[derive(Debug, Clone, Copy)]
pub struct Flows {
    pub count: u32,
    pub channel_bits: u32,
}

impl Flows {
    /// An allocation has a socket and with that a file of the relay: there are at most `CLIENTS` of them.
    pub fn new(count: u32) -> Result<Self> {
        let bits = 0..=PEERS.ilog2();
        let channel_bits = bits
            .into_iter()
            .find(|bits| count.div_ceil(1 << bits) <= CLIENTS)
            .with_context(|| format!("{count} sessions: at most {} fit", CLIENTS * PEERS))?;
        Ok(Self {
            count,
            channel_bits,
        })
    }

    pub fn channels(self) -> u32 {
        1 << self.channel_bits
    }

    pub fn clients(self) -> u32 {
        self.count.div_ceil(self.channels())
    }

    /// Makes the allocations and channels, many at a time. Inside the clients' namespace.
    pub fn set_up(self) -> Result<Vec<TurnClient>> {
        raise_file_limit()?;
        let server = SocketAddr::new(RELAY.parse()?, 3478);
        let all: Vec<u16> = (0..self.clients() as u16).collect();
        let mut clients = Vec::new();
        for wave in all.chunks(WAVE) {
            let sockets = wave
                .iter()
                .map(|i| Ok(UdpSocket::bind((OUTER, FIRST_PORT + i))?));
            let sockets = sockets.collect::<Result<_>>()?;
            let mut wave = TurnClient::allocate_wave(sockets, server, USER.0, USER.1)?;
            for i in 0..self.channels() as u16 {
                let peer = SocketAddr::new(peer(i.into()).parse()?, 9);
                TurnClient::bind_wave(&mut wave, CHANNEL + i, peer)?;
            }
            clients.extend(wave);
        }
        Ok(clients)
    }
}

/// A client has a socket.
pub fn raise_file_limit() -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).context("raise the limit of open files")
}
