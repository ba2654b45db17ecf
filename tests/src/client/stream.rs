//! The same client over a byte stream, TCP or TLS (RFC 8656 §12.5). Blocking; it never refreshes by itself.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use relay_userspace::client::request::{Answer, Login, Request};
use relay_userspace::client::words::{allocate, channel_bind, relayed};
use relay_userspace::stream::frame::{LONGEST, Split, split};
use rustls::{ClientConnection, StreamOwned};
use stun_types::message::Message;

use crate::trust::Trust;

/// For an answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// One read takes no more.
const READ: usize = 64 << 10;

pub enum Wire {
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// One connection, and its allocation once there is one.
pub struct StreamClient {
    pub relayed: SocketAddr,
    wire: Wire,
    login: Login,
    inbox: Inbox,
}

/// What was read and is no whole message yet.
#[derive(Default)]
struct Inbox {
    memory: Vec<u8>,
    filled: usize,
}

impl Wire {
    /// Connects, and with `trust` shakes hands.
    pub fn connect(server: SocketAddr, trust: Option<&Trust>) -> Result<Wire> {
        let tcp = TcpStream::connect(server).with_context(|| format!("connect to {server}"))?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(PATIENCE))?;
        let Some(trust) = trust else {
            return Ok(Wire::Tcp(tcp));
        };
        let mut tls = StreamOwned::new(trust.client()?, tcp);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock).context("handshake")?;
        }
        Ok(Wire::Tls(Box::new(tls)))
    }

    pub fn tcp(&self) -> &TcpStream {
        match self {
            Wire::Tcp(tcp) => tcp,
            Wire::Tls(tls) => &tls.sock,
        }
    }
}

impl StreamClient {
    /// A relayed address of the server's family.
    pub fn allocate(
        server: SocketAddr,
        trust: Option<&Trust>,
        (user, password): (&str, &str),
    ) -> Result<StreamClient> {
        let mut client = StreamClient {
            relayed: server,
            wire: Wire::connect(server, trust)?,
            login: Login::new(user, password),
            inbox: Inbox::default(),
        };
        client.relayed = relayed(&client.ask(&allocate(server.is_ipv4()))?)?;
        Ok(client)
    }

    pub fn bind(&mut self, number: u16, peer: SocketAddr) -> Result<()> {
        self.ask(&channel_bind(number, peer)).map(drop)
    }

    pub fn tcp(&self) -> &TcpStream {
        self.wire.tcp()
    }

    /// Sends frames as they are, padding included.
    pub fn send(&mut self, frames: &[u8]) -> io::Result<()> {
        self.wire.write_all(frames)?;
        self.wire.flush()
    }

    /// Reads once and gives each whole message to `take`. Nothing more will come after `UnexpectedEof`.
    pub fn receive(&mut self, take: impl FnMut(&[u8])) -> io::Result<()> {
        self.inbox.read(&mut self.wire, take)
    }

    fn ask(&mut self, request: &Request) -> Result<Answer> {
        for challenged in [false, true] {
            let answer = self.exchange(request)?;
            let Some(refused) = answer.refused()? else {
                return Ok(answer);
            };
            if challenged || !refused.is_challenge() {
                return Err(refused.into());
            }
            self.login.challenge(&answer.message()?)?;
        }
        bail!("challenged twice")
    }

    fn exchange(&mut self, request: &Request) -> Result<Answer> {
        let (bytes, transaction) = request.encode(&self.login)?;
        self.send(&bytes)?;
        loop {
            let mut answer = None;
            let login = &self.login;
            let read = self.inbox.read(&mut self.wire, |message| {
                if let Ok(parsed) = Message::from_bytes(message)
                    && parsed.is_response()
                    && parsed.transaction_id() == transaction
                {
                    answer = Some((message.to_vec(), login.accepts(&parsed)));
                }
            });
            read.with_context(|| format!("an answer to {}", request.method()))?;
            if let Some((answer, accepted)) = answer {
                ensure!(accepted, "an answer without valid MESSAGE-INTEGRITY");
                return Ok(Answer::new(answer));
            }
        }
    }
}

impl Inbox {
    fn read(&mut self, wire: &mut Wire, mut take: impl FnMut(&[u8])) -> io::Result<()> {
        self.memory.resize(LONGEST + READ, 0);
        let begun = self.filled;
        let read = wire.read(&mut self.memory[begun..begun + READ])?;
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let held = &self.memory[..begun + read];
        let mut taken = 0;
        loop {
            match split(&held[taken..]) {
                Split::Message { length, padded } => {
                    take(&held[taken..taken + length]);
                    taken += padded;
                }
                Split::Wants(_) => break,
                Split::Broken => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        self.filled = begun + read - taken;
        self.memory.copy_within(taken..begun + read, 0);
        Ok(())
    }
}

impl Read for Wire {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(tcp) => tcp.read(into),
            Wire::Tls(tls) => tls.read(into),
        }
    }
}

impl Write for Wire {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Wire::Tcp(tcp) => tcp.write(bytes),
            Wire::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Wire::Tcp(tcp) => tcp.flush(),
            Wire::Tls(tls) => tls.flush(),
        }
    }
}
