//! What established TLS sessions notice of those who come to do harm: connections that trickle, that stop halfway, that
//! send junk. Numbered packets go both ways through the sessions meanwhile.

use std::io::Write;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;

use super::super::pair::Pair;
use super::super::veth::OUTER;
use super::super::veth::subject::CHANNEL;
use super::server::Server;
use crate::client::stream::StreamClient;
use crate::packet::channel_data;

/// One server under one flood.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    pub subject: &'static str,
    pub flood: &'static str,
    /// Connections of the flood per second.
    pub connections_per_second: f64,
    /// Packets of the established sessions.
    pub sent: u64,
    pub lost: u64,
    pub age_p99_ms: f64,
    pub age_max_ms: f64,
}

/// What an attacker does with a connection, and whether it keeps it.
struct Flood {
    name: &'static str,
    first: &'static [u8],
    keeps: usize,
}

/// A ClientHello that says it is 512 bytes long.
const HELLO: [u8; 11] = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3];
const JUNK: [u8; 64] = [0xA5; 64];
const RECORD: [u8; 64] = [0x16; 64];

const FLOODS: [Flood; 5] = [
    Flood {
        name: "nothing",
        first: &[],
        keeps: 0,
    },
    // A byte each, in turn.
    Flood {
        name: "slow_loris",
        first: &HELLO,
        keeps: 500,
    },
    Flood {
        name: "half_open",
        first: &HELLO,
        keeps: 5000,
    },
    Flood {
        name: "garbage",
        first: &JUNK,
        keeps: 0,
    },
    Flood {
        name: "garbage_tls",
        first: &RECORD,
        keeps: 0,
    },
];

const SESSIONS: usize = 10;
const EVERY: Duration = Duration::from_millis(20);
const SECONDS: u64 = 3;
/// For the last packets, when the flood is over.
const REST: Duration = Duration::from_millis(500);

pub fn run(subjects: &[&'static str]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for flood in &FLOODS {
        for subject in subjects.iter().copied() {
            let row =
                measure(subject, flood).with_context(|| format!("{subject}, {}", flood.name))?;
            eprintln!(
                "{subject:<6} {:<12} {:>6.0} connections/s: {} of {} lost, p99 {:.1} ms, max {:.1} ms",
                row.flood,
                row.connections_per_second,
                row.lost,
                row.sent,
                row.age_p99_ms,
                row.age_max_ms
            );
            rows.push(row);
        }
    }
    Ok(rows)
}

fn measure(subject: &'static str, flood: &Flood) -> Result<Row> {
    let pair = Pair::new()?;
    let server = Server::start(subject, &pair.inner, "")?;
    let peer = pair.outer.enter(|| Ok(UdpSocket::bind((OUTER, 0))?))?;
    peer.set_read_timeout(Some(Duration::from_millis(20)))?;
    let mut clients = Vec::new();
    for _ in 0..SESSIONS {
        let mut client = server.client(&pair.outer, "tls")?;
        client.bind(CHANNEL, peer.local_addr()?)?;
        client
            .tcp()
            .set_read_timeout(Some(Duration::from_millis(20)))?;
        clients.push(client);
    }
    let (address, _) = server.door("tls")?;
    let namespace = pair.outer.open()?;
    let (over, opened) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let attack = scope.spawn(|| {
            crate::netns::enter_for_good(&namespace)?;
            attack(address, flood, &opened, &over);
            anyhow::Ok(())
        });
        let established = established(&mut clients, &peer);
        over.store(true, Relaxed);
        attack.join().expect("the attacker's thread")?;
        let (sent, mut ages) = established?;
        ages.sort_by(f64::total_cmp);
        let at = |share: f64| ages.get(((ages.len().max(1) - 1) as f64 * share) as usize);
        Ok(Row {
            subject,
            flood: flood.name,
            connections_per_second: opened.load(Relaxed) as f64 / SECONDS as f64,
            sent,
            lost: sent - ages.len() as u64,
            age_p99_ms: at(0.99).copied().unwrap_or(f64::NAN),
            age_max_ms: at(1.0).copied().unwrap_or(f64::NAN),
        })
    })
}

/// A packet each way through every session, again and again. How many were sent, and the ages of those that came.
fn established(clients: &mut [StreamClient], peer: &UdpSocket) -> Result<(u64, Vec<f64>)> {
    let start = Instant::now();
    let end = start + Duration::from_secs(SECONDS);
    let relayed: Vec<SocketAddr> = clients.iter().map(|client| client.relayed).collect();
    let stamp = || start.elapsed().as_nanos() as u64;
    let age = |data: &[u8]| {
        let sent = data.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
        sent.map(|sent| (stamp() - sent) as f64 / 1e6)
    };
    std::thread::scope(|scope| {
        let at_peer = scope.spawn(|| {
            let (mut ages, mut buffer) = (Vec::new(), [0; 2048]);
            while Instant::now() < end + REST {
                if let Ok(length) = peer.recv(&mut buffer) {
                    ages.extend(age(&buffer[..length]));
                }
            }
            ages
        });
        let (mut sent, mut due, mut ages) = (0, start, Vec::new());
        while due < end + REST {
            for (client, relayed) in clients.iter_mut().zip(&relayed) {
                if due < end {
                    peer.send_to(&stamp().to_be_bytes(), relayed)?;
                    client.send(&channel_data(CHANNEL, &stamp().to_be_bytes(), 0))?;
                    sent += 2;
                }
            }
            due += EVERY;
            for client in clients.iter_mut() {
                client.tcp().set_nonblocking(true)?;
                while client
                    .receive(|message| ages.extend(message.get(4..).and_then(age)))
                    .is_ok()
                {}
                client.tcp().set_nonblocking(false)?;
            }
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        ages.extend(at_peer.join().expect("the peer's thread"));
        Ok((sent, ages))
    })
}

fn attack(server: SocketAddr, flood: &Flood, opened: &AtomicU64, over: &AtomicBool) {
    let mut held: Vec<TcpStream> = Vec::new();
    let mut turn = 0;
    while !over.load(Relaxed) {
        if flood.name == "nothing" {
            std::thread::sleep(EVERY);
            continue;
        }
        if held.len() >= flood.keeps.max(1) {
            turn = (turn + 1) % held.len();
            // Garbage goes at once, to make room for more.
            let gone = flood.keeps == 0 || held[turn].write_all(&[0]).is_err();
            if gone {
                held.swap_remove(turn);
                turn = 0;
            }
            continue;
        }
        if let Ok(mut tcp) = TcpStream::connect_timeout(&server, Duration::from_secs(1)) {
            opened.fetch_add(1, Relaxed);
            // Reset by now, maybe.
            if tcp.write_all(flood.first).is_ok() {
                held.push(tcp);
            }
        }
    }
}
