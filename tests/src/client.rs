//! A small blocking TURN client (RFC 8656) for tests and the lab: one allocation over one UDP socket.
//!
//! It retransmits requests and answers one challenge; it never refreshes by itself.

mod request;

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use stun_types::attribute::{ErrorCode, XorMappedAddress};
use stun_types::message::{BINDING, Message, MessageClass, MessageWriteVec};
use stun_types::prelude::*;
use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, Data, Lifetime, RequestedAddressFamily, RequestedTransport, XorPeerAddress, XorRelayedAddress,
};
use turn_types::channel::ChannelData;
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, DATA, REFRESH, SEND};

use request::{Answer, Request};
pub use request::{Credentials, Refused};

/// First retransmission; doubled each time (RFC 8489 section 6.2.1).
const RETRANSMIT: Duration = Duration::from_millis(250);
const TRANSMISSIONS: u32 = 6;
/// IANA protocol number of UDP, for REQUESTED-TRANSPORT.
const UDP: u8 = 17;

/// What arrives from a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromPeer {
    Channel { number: u16, data: Vec<u8> },
    Indication { peer: SocketAddr, data: Vec<u8> },
}

/// A TURN client on a socket of its own. Made inside a namespace, it stays there.
pub struct TurnClient {
    socket: UdpSocket,
    server: SocketAddr,
    login: request::Login,
    /// Data that came while an answer was awaited.
    early: Vec<FromPeer>,
}

impl TurnClient {
    pub fn new(server: SocketAddr, credentials: Credentials) -> Result<Self> {
        let any: SocketAddr = if server.is_ipv4() { "0.0.0.0:0".parse()? } else { "[::]:0".parse()? };
        let socket = UdpSocket::bind(any).context("bind the client's socket")?;
        socket.connect(server).with_context(|| format!("connect to {server}"))?;
        Ok(Self { socket, server, login: request::Login::new(credentials), early: Vec::new() })
    }

    pub fn local(&self) -> Result<SocketAddr> {
        Ok(self.socket.local_addr()?)
    }

    /// The socket itself, for streams of ChannelData. Already connected to the server.
    pub fn socket(&self) -> &UdpSocket {
        &self.socket
    }

    /// Our address as the server sees it.
    pub fn binding(&mut self) -> Result<SocketAddr> {
        let answer = self.ask(&Request::new(BINDING))?;
        answer.read(|message| Ok(message.attribute::<XorMappedAddress>()?.addr(message.transaction_id())))
    }

    /// Allocates a relayed address of the server's family.
    pub fn allocate(&mut self) -> Result<SocketAddr> {
        let family = if self.server.is_ipv4() { AddressFamily::IPV4 } else { AddressFamily::IPV6 };
        let mut request = Request::new(ALLOCATE);
        request.add(&RequestedTransport::new(UDP))?;
        request.add(&RequestedAddressFamily::new(family))?;
        let answer = self.ask(&request)?;
        answer.read(|message| Ok(message.attribute::<XorRelayedAddress>()?.addr(message.transaction_id())))
    }

    /// Asks for `seconds` more; 0 ends the allocation. The lifetime that was granted.
    pub fn refresh(&mut self, seconds: u32) -> Result<u32> {
        let mut request = Request::new(REFRESH);
        request.add(&Lifetime::new(seconds))?;
        self.ask(&request)?.read(|message| Ok(message.attribute::<Lifetime>()?.seconds()))
    }

    pub fn permit(&mut self, peer: SocketAddr) -> Result<()> {
        let mut request = Request::new(CREATE_PERMISSION);
        request.add_peer(peer)?;
        self.ask(&request).map(drop)
    }

    pub fn bind_channel(&mut self, number: u16, peer: SocketAddr) -> Result<()> {
        let mut request = Request::new(CHANNEL_BIND);
        request.add(&ChannelNumber::new(number))?;
        request.add_peer(peer)?;
        self.ask(&request).map(drop)
    }

    /// ChannelData, unpadded as UDP allows.
    pub fn send_channel(&self, number: u16, data: &[u8]) -> Result<()> {
        self.socket.send(&channel_data(number, data)).context("send ChannelData").map(drop)
    }

    /// A Send indication.
    pub fn send_indication(&self, peer: SocketAddr, data: &[u8]) -> Result<()> {
        let mut message = Message::builder_indication(SEND, MessageWriteVec::new());
        let transaction = Message::from_bytes(message.data())?.transaction_id();
        message.add_attribute(&XorPeerAddress::new(peer, transaction))?;
        message.add_attribute(&Data::new(data))?;
        self.socket.send(&message.finish()).context("send a Send indication").map(drop)
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

    /// Sends `request` until it is answered, once more after a challenge. An error answer is a [`Refused`].
    fn ask(&mut self, request: &Request) -> Result<Answer> {
        let mut challenged = false;
        loop {
            let answer = self.exchange(request)?;
            let Some(refused) = answer.refused()? else { return Ok(answer) };
            let may_answer = matches!(refused.code, ErrorCode::UNAUTHORIZED | ErrorCode::STALE_NONCE) && !challenged;
            if !may_answer {
                return Err(refused.into());
            }
            challenged = true;
            answer.read(|message| self.login.challenge(message))?;
        }
    }

    fn exchange(&mut self, request: &Request) -> Result<Answer> {
        let (bytes, transaction) = request.encode(&self.login)?;
        for attempt in 0..TRANSMISSIONS {
            self.send_request(&bytes)?;
            let end = Instant::now() + RETRANSMIT * 2u32.pow(attempt);
            while let Some(packet) = self.packet_until(end)? {
                match Message::from_bytes(&packet) {
                    Ok(message) if message.is_response() && message.transaction_id() == transaction => {
                        let plain = message.has_class(MessageClass::Error);
                        ensure!(plain || self.login.signed(&message), "an answer without valid MESSAGE-INTEGRITY");
                        return Ok(Answer::new(packet));
                    }
                    _ => self.early.extend(from_peer(&packet)),
                }
            }
        }
        bail!("{} did not answer {}", self.server, request.method())
    }

    fn send_request(&self, bytes: &[u8]) -> Result<()> {
        match self.socket.send(bytes) {
            // An ICMP error to the previous transmission; this one was not sent, the next will be.
            Err(fault) if fault.kind() == ErrorKind::ConnectionRefused => Ok(()),
            sent => sent.context("send a request").map(drop),
        }
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
                Err(fault) if matches!(fault.kind(), ErrorKind::ConnectionRefused | ErrorKind::Interrupted) => {}
                Err(fault) => return Err(fault).context("receive"),
            }
        }
    }
}

/// The bytes of a ChannelData message.
pub fn channel_data(number: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4 + data.len()];
    ChannelData::new(number, data).write_into_unchecked(&mut bytes);
    bytes
}

fn from_peer(packet: &[u8]) -> Option<FromPeer> {
    if let Ok(channel) = ChannelData::parse(packet) {
        return Some(FromPeer::Channel { number: channel.id(), data: channel.data().to_vec() });
    }
    let message = Message::from_bytes(packet).ok()?;
    if !message.has_class(MessageClass::Indication) || !message.has_method(DATA) {
        return None;
    }
    let peer = message.attribute::<XorPeerAddress>().ok()?.addr(message.transaction_id());
    let data = message.attribute::<Data>().ok()?.data().to_vec();
    Some(FromPeer::Indication { peer, data })
}
