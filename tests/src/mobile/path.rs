//! One way to a TURN server, UDP or TLS, read and written without waiting.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};

use anyhow::{Context, Result, bail};
use relay_userspace::stream::frame::{self, Split};

use crate::client::stream::Wire;
use crate::netns::NetNs;
use crate::trust::Trust;

pub struct Path {
    way: Way,
    /// Of a stream: what is no whole message yet.
    begun: Vec<u8>,
}

enum Way {
    Udp(UdpSocket),
    Tls(Wire),
}

impl Path {
    /// From any port of `local`.
    pub fn udp(namespace: &NetNs, local: IpAddr, server: SocketAddr) -> Result<Self> {
        let socket = namespace.enter(|| Ok(UdpSocket::bind((local, 0))?))?;
        socket.connect(server)?;
        socket.set_nonblocking(true)?;
        Ok(Self::over(Way::Udp(socket)))
    }

    /// Connected, and its handshake done.
    pub fn tls(namespace: &NetNs, server: SocketAddr, trust: &Trust) -> Result<Self> {
        let wire = namespace.enter(|| Wire::connect(server, Some(trust)))?;
        wire.tcp().set_nonblocking(true)?;
        Ok(Self::over(Way::Tls(wire)))
    }

    fn over(way: Way) -> Self {
        Self {
            way,
            begun: Vec::new(),
        }
    }

    pub fn send(&mut self, message: &[u8]) -> Result<()> {
        match &mut self.way {
            Way::Udp(socket) => socket.send(message).context("send").map(drop),
            Way::Tls(stream) => {
                let framed = [message, frame::padding(message.len())].concat();
                stream.write_all(&framed)?;
                stream.flush().context("write")
            }
        }
    }

    /// Every message that is there.
    pub fn receive(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut buffer = [0; 1 << 16];
        let mut messages = Vec::new();
        loop {
            let read = match &mut self.way {
                Way::Udp(socket) => socket.recv(&mut buffer),
                Way::Tls(stream) => stream.read(&mut buffer),
            };
            match (read, &self.way) {
                (Err(error), _) if error.kind() == io::ErrorKind::WouldBlock => break,
                (Err(error), _) => return Err(error).context("receive"),
                (Ok(0), Way::Tls(_)) => break,
                (Ok(length), Way::Udp(_)) => messages.push(buffer[..length].to_vec()),
                (Ok(length), Way::Tls(_)) => self.begun.extend_from_slice(&buffer[..length]),
            }
        }
        loop {
            match frame::split(&self.begun) {
                Split::Message { length, padded } => {
                    messages.push(self.begun[..length].to_vec());
                    self.begun.drain(..padded);
                }
                Split::Wants(_) => return Ok(messages),
                Split::Broken => bail!("no message begins with {:?}", self.begun.first()),
            }
        }
    }
}
