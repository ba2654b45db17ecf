//! A call: a TURN client and a plain UDP peer that send each other packets at a steady rate through a channel.
//!
//! Every packet carries its number and the time it was sent; both ends live in this process, so delays are one-way and exact.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::ledger::Ledger;
use super::video::roomy_socket;
use crate::client::{FromPeer, TurnClient};
use crate::netns::NetNs;

/// What a call sends in each direction.
#[derive(Debug, Clone, Copy)]
pub struct Media {
    pub packets_per_second: u32,
    /// UDP payload, at least [`HEADER`].
    pub bytes: usize,
}

/// Where the ends of a call are.
#[derive(Debug, Clone, Copy)]
pub struct Ends<'a> {
    pub client: &'a NetNs,
    pub client_ip: &'a str,
    pub peer: &'a NetNs,
    pub peer_ip: &'a str,
    pub turn: SocketAddr,
}

/// Number and send time, big endian.
const HEADER: usize = 16;
/// Channels last 600 s, permissions 300 s: renewed in good time.
const RENEW: Duration = Duration::from_secs(120);
const CHANNEL: u16 = 0x4000;
/// After this long without a packet nothing more is under way.
const SILENCE: Duration = Duration::from_millis(500);

/// A running call. Ends, without waiting for packets under way, when dropped.
pub struct Call {
    pub to_peer: Ledger,
    pub to_client: Ledger,
    /// Requests the client sent, for those who count its datagrams.
    requests: Arc<AtomicU64>,
    sending: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<()>>>,
}

impl Call {
    /// Allocates, permits, binds a channel and starts both directions.
    pub fn start(ends: Ends<'_>, login: (&str, &str), media: Media) -> Result<Self> {
        ensure!(
            media.bytes >= HEADER,
            "media packets carry {HEADER} bytes of their own"
        );
        let peer = ends.peer.enter(|| roomy_socket(ends.peer_ip))?;
        let peer_address = peer.local_addr()?;
        let socket = ends.client.enter(|| roomy_socket(ends.client_ip))?;
        let mut client =
            TurnClient::allocate(socket, ends.turn, login.0, login.1).context("allocate")?;
        let relayed = client.relayed;
        client.permit(peer_address).context("permit the peer")?;
        client
            .bind(CHANNEL, peer_address)
            .context("bind the channel")?;
        // Connected: a packet that does not come from the relayed address never arrives, and counts as lost.
        peer.connect(relayed)
            .with_context(|| format!("connect the peer to {relayed}"))?;

        let epoch = Instant::now();
        let sending = Arc::new(AtomicBool::new(true));
        let (to_peer, to_client) = (Ledger::default(), Ledger::default());
        let requests = Arc::new(AtomicU64::new(client.requests_sent()));
        let mut near = ClientEnd {
            client,
            peer_address,
            renew: epoch + RENEW,
            requests: requests.clone(),
        };
        let mut far = PeerEnd(peer);
        let out = Pace {
            media,
            epoch,
            sending: sending.clone(),
            sent: to_peer.clone(),
            received: to_client.clone(),
        };
        let back = Pace {
            sent: to_client.clone(),
            received: to_peer.clone(),
            ..out.clone()
        };
        let threads = vec![
            std::thread::spawn(move || out.run(&mut near)),
            std::thread::spawn(move || back.run(&mut far)),
        ];
        Ok(Self {
            to_peer,
            to_client,
            requests,
            sending,
            threads,
        })
    }

    /// An error if an end gave up.
    pub fn check(&mut self) -> Result<()> {
        match self.threads.iter().any(JoinHandle::is_finished) {
            true => self.stop(),
            false => Ok(()),
        }
    }

    /// Stops sending and waits for what is under way.
    pub fn stop(&mut self) -> Result<()> {
        self.sending.store(false, Ordering::Relaxed);
        let ends = self.threads.drain(..).map(|t| {
            t.join()
                .unwrap_or_else(|_| Err(anyhow!("an end of a call panicked")))
        });
        ends.collect::<Vec<_>>().into_iter().collect()
    }

    /// Datagrams the client's socket sent.
    pub fn client_datagrams(&self) -> u64 {
        self.requests.load(Ordering::Relaxed) + self.to_peer.lock().sent
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}

/// One end: how it sends, receives and keeps itself alive.
trait End {
    fn send(&mut self, data: &[u8]) -> Result<()>;
    fn receive(&mut self, limit: Duration) -> Result<Option<Vec<u8>>>;
    fn keep_alive(&mut self) -> Result<()> {
        Ok(())
    }
}

struct ClientEnd {
    client: TurnClient,
    peer_address: SocketAddr,
    renew: Instant,
    requests: Arc<AtomicU64>,
}

impl End for ClientEnd {
    fn send(&mut self, data: &[u8]) -> Result<()> {
        self.client.send(CHANNEL, data)
    }

    fn receive(&mut self, limit: Duration) -> Result<Option<Vec<u8>>> {
        Ok(self.client.receive(limit)?.map(FromPeer::into_data))
    }

    fn keep_alive(&mut self) -> Result<()> {
        if Instant::now() >= self.renew {
            self.renew += RENEW;
            self.client.refresh(600).context("refresh the allocation")?;
            self.client
                .bind(CHANNEL, self.peer_address)
                .context("renew the channel")?;
            self.requests
                .store(self.client.requests_sent(), Ordering::Relaxed);
        }
        Ok(())
    }
}

struct PeerEnd(UdpSocket);

impl End for PeerEnd {
    fn send(&mut self, data: &[u8]) -> Result<()> {
        self.0.send(data).context("peer sends").map(drop)
    }

    fn receive(&mut self, limit: Duration) -> Result<Option<Vec<u8>>> {
        use std::io::ErrorKind::{ConnectionRefused, Interrupted, WouldBlock};
        let mut buffer = vec![0; 2048];
        self.0.set_read_timeout(Some(limit))?;
        match self.0.recv(&mut buffer) {
            Ok(length) => {
                buffer.truncate(length);
                Ok(Some(buffer))
            }
            Err(fault) if matches!(fault.kind(), WouldBlock | Interrupted | ConnectionRefused) => {
                Ok(None)
            }
            Err(fault) => Err(fault).context("peer receives"),
        }
    }
}

/// Sends on time and receives in between.
#[derive(Clone)]
struct Pace {
    media: Media,
    epoch: Instant,
    sending: Arc<AtomicBool>,
    sent: Ledger,
    received: Ledger,
}

impl Pace {
    fn run(&self, end: &mut impl End) -> Result<()> {
        let interval = Duration::from_secs(1) / self.media.packets_per_second;
        let mut due = Instant::now();
        while self.sending.load(Ordering::Relaxed) {
            end.keep_alive()?;
            if Instant::now() >= due {
                due += interval;
                end.send(&self.packet())?;
            }
            let wait = due.saturating_duration_since(Instant::now());
            if !wait.is_zero() {
                self.take(end.receive(wait)?);
            }
        }
        while let Some(packet) = end.receive(SILENCE)? {
            self.take(Some(packet));
        }
        Ok(())
    }

    /// The next packet, counted as sent.
    fn packet(&self) -> Vec<u8> {
        let mut stream = self.sent.lock();
        let mut packet = vec![0x55; self.media.bytes];
        packet[..8].copy_from_slice(&stream.sent.to_be_bytes());
        packet[8..HEADER].copy_from_slice(&(self.epoch.elapsed().as_nanos() as u64).to_be_bytes());
        stream.sent += 1;
        packet
    }

    /// A packet that was changed on its way does not count as received.
    fn take(&self, packet: Option<Vec<u8>>) {
        let now = self.epoch.elapsed().as_nanos() as u64;
        let Some((header, rest)) = packet
            .as_ref()
            .and_then(|p| p.split_first_chunk::<HEADER>())
        else {
            return;
        };
        if header.len() + rest.len() != self.media.bytes || rest.iter().any(|&byte| byte != 0x55) {
            return;
        }
        let (number, time) = header.split_at(8);
        let read = |bytes: &[u8]| {
            bytes
                .iter()
                .fold(0u64, |value, &byte| value << 8 | u64::from(byte))
        };
        let mut stream = self.received.lock();
        stream.arrived(read(number), self.media.bytes);
        stream.delay.add(now.saturating_sub(read(time)));
    }
}
