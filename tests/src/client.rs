//! A small blocking TURN client (RFC 8656) for tests and the lab: one allocation over one UDP socket.
//!
//! It retransmits requests and answers one challenge; it never refreshes by itself.

pub mod stream;
mod wave;

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use stun_types::attribute::AttributeType;
use stun_types::message::{Message, MessageClass, MessageWriteVec, TransactionId};
use stun_types::prelude::*;
use turn_types::attribute::{Data, DontFragment, XorPeerAddress};
use turn_types::channel::ChannelData;
use turn_types::message::{CREATE_PERMISSION, DATA, SEND};

use crate::packet::channel_data;
pub use relay_userspace::client::request::Refused;
use relay_userspace::client::request::{Answer, Login, Request};
use relay_userspace::client::words::{self, mapped, relayed};

/// First retransmission; doubled each time (RFC 8489 section 6.2.1).
const RETRANSMIT: Duration = Duration::from_millis(250);
const TRANSMISSIONS: u32 = 6;
const ICMP: AttributeType = AttributeType::new(0x8004);

/// What arrives from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromPeer {
    Channel {
        number: u16,
        data: Vec<u8>,
    },
    Indication {
        peer: SocketAddr,
        data: Vec<u8>,
    },
    /// An ICMP error about data for this peer (RFC 8656 §11.6).
    Icmp {
        peer: SocketAddr,
        kind: u8,
        code: u8,
        mtu: u32,
    },
}

impl FromPeer {
    /// What the peer sent, however it came.
    pub fn into_data(self) -> Vec<u8> {
        match self {
            Self::Channel { data, .. } | Self::Indication { data, .. } => data,
            Self::Icmp { .. } => Vec::new(),
        }
    }
}

/// One allocation and the socket it belongs to.
pub struct TurnClient {
    pub socket: UdpSocket,
    pub server: SocketAddr,
    pub relayed: SocketAddr,
    login: Login,
    requests_sent: u64,
    /// Of each request at once, as if it had been repeated.
    pub copies: usize,
    /// Data that came while an answer was awaited.
    early: Vec<FromPeer>,
}

impl TurnClient {
    /// Allocates over UDP from `socket`, which it connects; a relayed address of the server's family.
    pub fn allocate(
        socket: UdpSocket,
        server: SocketAddr,
        user: &str,
        password: &str,
    ) -> Result<Self> {
        Self::allocate_family(socket, server, server.is_ipv4(), user, password)
    }

    /// The same with a relayed IPv4 address, or else an IPv6 one.
    pub fn allocate_family(
        socket: UdpSocket,
        server: SocketAddr,
        ipv4: bool,
        user: &str,
        password: &str,
    ) -> Result<Self> {
        let mut client = Self::new(socket, server, user, password)?;
        let answer = client.ask(&words::allocate(ipv4))?;
        client.relayed = relayed(&answer)?;
        Ok(client)
    }

    /// Without an allocation yet.
    fn new(socket: UdpSocket, server: SocketAddr, user: &str, password: &str) -> Result<Self> {
        socket
            .connect(server)
            .with_context(|| format!("connect to {server}"))?;
        Ok(Self {
            socket,
            server,
            relayed: server,
            login: Login::new(user, password),
            requests_sent: 0,
            copies: 1,
            early: Vec::new(),
        })
    }

    /// Our address as the server sees it.
    pub fn binding(&mut self) -> Result<SocketAddr> {
        Ok(mapped(&self.ask(&words::binding(0))?)?)
    }

    /// Asks for `seconds` more; 0 ends the allocation. The lifetime that was granted.
    pub fn refresh(&mut self, seconds: u32) -> Result<u32> {
        let granted = words::lifetime(&self.ask(&words::refresh(seconds))?)?;
        Ok(granted.as_secs() as u32)
    }

    /// Permits `peer`'s address.
    pub fn permit(&mut self, peer: SocketAddr) -> Result<()> {
        let request = Request::new(CREATE_PERMISSION).with_peer(peer);
        self.ask(&request).map(drop)
    }

    /// Binds channel `number` to `peer`, or renews it.
    pub fn bind(&mut self, number: u16, peer: SocketAddr) -> Result<()> {
        self.ask(&words::channel_bind(number, peer)).map(drop)
    }

    /// Sends ChannelData, unpadded as UDP allows.
    pub fn send(&self, number: u16, data: &[u8]) -> Result<()> {
        self.socket
            .send(&channel_data(number, data, 0))
            .context("send ChannelData")
            .map(drop)
    }

    /// A Send indication.
    pub fn send_indication(&self, peer: SocketAddr, data: &[u8]) -> Result<()> {
        self.indicate(peer, data, false)
    }

    /// A Send indication with DONT-FRAGMENT.
    pub fn send_whole(&self, peer: SocketAddr, data: &[u8]) -> Result<()> {
        self.indicate(peer, data, true)
    }

    fn indicate(&self, peer: SocketAddr, data: &[u8], whole: bool) -> Result<()> {
        let mut message = Message::builder_indication(SEND, MessageWriteVec::new());
        let transaction = Message::from_bytes(message.data())?.transaction_id();
        message.add_attribute(&XorPeerAddress::new(peer, transaction))?;
        message.add_attribute(&Data::new(data))?;
        if whole {
            message.add_attribute(&DontFragment::new())?;
        }
        self.socket
            .send(&message.finish())
            .context("send a Send indication")
            .map(drop)
    }

    /// The next thing from a peer, or `None` when nothing came in `limit`.
    pub fn receive(&mut self, limit: Duration) -> Result<Option<FromPeer>> {
        if !self.early.is_empty() {
            return Ok(Some(self.early.remove(0)));
        }
        let end = Instant::now() + limit;
        while let Some(packet) = self.packet_until(end)? {
            if let Some(data) = from_peer(&packet) {
                return Ok(Some(data));
            }
        }
        Ok(None)
    }

    /// Everything from peers that is there by now, without waiting.
    pub fn received(&mut self) -> Result<Vec<FromPeer>> {
        let mut all = std::mem::take(&mut self.early);
        let mut buffer = vec![0; 65536];
        self.socket.set_nonblocking(true)?;
        loop {
            match self.socket.recv(&mut buffer) {
                Ok(length) => all.extend(from_peer(&buffer[..length])),
                Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => {}
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => break,
                Err(fault) => return Err(fault).context("receive"),
            }
        }
        self.socket.set_nonblocking(false)?;
        Ok(all)
    }

    /// Sends `request` until it is answered, once more after a challenge. An error answer is a [`Refused`].
    fn ask(&mut self, request: &Request) -> Result<Answer> {
        let mut challenged = false;
        loop {
            let answer = self.exchange(request)?;
            let Some(refused) = answer.refused()? else {
                return Ok(answer);
            };
            if challenged || !refused.is_challenge() {
                return Err(refused.into());
            }
            challenged = true;
            self.login.challenge(&answer.message()?)?;
        }
    }

    /// Request datagrams so far, retransmissions included.
    pub fn requests_sent(&self) -> u64 {
        self.requests_sent
    }

    fn exchange(&mut self, request: &Request) -> Result<Answer> {
        let asked = request.encode(&self.login)?;
        self.send_request(&asked.0)?;
        self.answer(&asked, request)
    }

    /// The answer to what was sent once, sent again until it comes.
    fn answer(
        &mut self,
        (bytes, transaction): &(Vec<u8>, TransactionId),
        request: &Request,
    ) -> Result<Answer> {
        for attempt in 0..TRANSMISSIONS {
            if attempt > 0 {
                self.send_request(bytes)?;
            }
            let end = Instant::now() + RETRANSMIT * 2u32.pow(attempt);
            while let Some(packet) = self.packet_until(end)? {
                match Message::from_bytes(&packet) {
                    Ok(message)
                        if message.is_response() && message.transaction_id() == *transaction =>
                    {
                        ensure!(
                            self.login.accepts(&message),
                            "an answer without valid MESSAGE-INTEGRITY"
                        );
                        return Ok(Answer::new(packet));
                    }
                    _ => self.early.extend(from_peer(&packet)),
                }
            }
        }
        bail!("{} did not answer {}", self.server, request.method())
    }

    fn send_request(&mut self, bytes: &[u8]) -> Result<()> {
        for _ in 0..self.copies {
            self.requests_sent += 1;
            match self.socket.send(bytes) {
                // An ICMP error to the previous transmission; this one was not sent, the next will be.
                Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => {}
                sent => {
                    sent.context("send a request")?;
                }
            }
        }
        Ok(())
    }

    fn packet_until(&self, end: Instant) -> Result<Option<Vec<u8>>> {
        let mut buffer = vec![0; 65536];
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.socket.set_read_timeout(Some(left))?;
            match self.socket.recv(&mut buffer) {
                Ok(length) => {
                    buffer.truncate(length);
                    return Ok(Some(buffer));
                }
                Err(fault) if fault.kind() == ErrorKind::WouldBlock => return Ok(None),
                Err(fault)
                    if matches!(
                        fault.kind(),
                        ErrorKind::ConnectionRefused | ErrorKind::Interrupted
                    ) => {}
                Err(fault) => return Err(fault).context("receive"),
            }
        }
    }
}

fn from_peer(packet: &[u8]) -> Option<FromPeer> {
    if let Ok(channel) = ChannelData::parse(packet) {
        return Some(FromPeer::Channel {
            number: channel.id(),
            data: channel.data().to_vec(),
        });
    }
    let message = Message::from_bytes(packet).ok()?;
    if !message.has_class(MessageClass::Indication) || !message.has_method(DATA) {
        return None;
    }
    let peer = message
        .attribute::<XorPeerAddress>()
        .ok()?
        .addr(message.transaction_id());
    if let Some((_, icmp)) = message
        .iter_attributes()
        .find(|(_, raw)| raw.get_type() == ICMP)
    {
        let [_, _, high, low, mtu @ ..] = <[u8; 8]>::try_from(&*icmp.value).ok()?;
        return Some(FromPeer::Icmp {
            peer,
            // Seven bits and nine.
            kind: high >> 1,
            code: low,
            mtu: u32::from_be_bytes(mtu),
        });
    }
    let data = message.attribute::<Data>().ok()?.data().to_vec();
    Some(FromPeer::Indication { peer, data })
}
