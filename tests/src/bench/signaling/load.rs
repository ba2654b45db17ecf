//! Clients over TLS, one thread each, that ask again as soon as they are answered.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustls::{ClientConnection, StreamOwned};

use crate::trust::Trust;

const REQUEST: &[u8] = b"GET /nginx/small HTTP/1.1\r\nHost: relay.test\r\nUser-Agent: load\r\n\r\n";
const HANDSHAKE: &[u8] = b"GET /echo HTTP/1.1\r\nHost: relay.test\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// A masked text frame of 100 bytes.
const MESSAGE: [u8; 106] = {
    let mut frame = [b'x'; 106];
    frame[0] = 0x81;
    frame[1] = 0x80 | 100;
    frame
};

#[derive(Debug, Clone, Copy)]
pub enum Load {
    Requests,
    Messages,
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

impl Load {
    /// In the namespace of the thread that calls; how long each answer took.
    pub fn run(
        self,
        trust: &Trust,
        server: SocketAddr,
        connections: usize,
        time: Duration,
    ) -> Result<Vec<Duration>> {
        let streams = (0..connections).map(|_| self.open(trust, server));
        let streams = streams.collect::<Result<Vec<_>>>()?;
        let until = Instant::now() + time;
        thread::scope(|scope| {
            let spawn = |stream| scope.spawn(move || self.ask(stream, until));
            let all: Vec<_> = streams.into_iter().map(spawn).collect();
            let mut took = Vec::new();
            for one in all {
                took.extend(one.join().expect("no panic")?);
            }
            ensure!(!took.is_empty(), "nothing was answered");
            Ok(took)
        })
    }

    fn open(self, trust: &Trust, server: SocketAddr) -> Result<Stream> {
        let tcp = TcpStream::connect(server).with_context(|| format!("connect to {server}"))?;
        tcp.set_nodelay(true)?;
        tcp.set_read_timeout(Some(Duration::from_secs(20)))?;
        let mut stream = StreamOwned::new(trust.client()?, tcp);
        if let Load::Messages = self {
            stream.write_all(HANDSHAKE)?;
            let head = head(&mut stream, &mut Vec::new())?;
            ensure!(head.starts_with("HTTP/1.1 101"), "no WebSocket: {head}");
        }
        Ok(stream)
    }

    fn ask(self, mut stream: Stream, until: Instant) -> Result<Vec<Duration>> {
        let mut took = Vec::new();
        let mut seen = Vec::new();
        while Instant::now() < until {
            let began = Instant::now();
            match self {
                Load::Requests => {
                    stream.write_all(REQUEST)?;
                    answer(&mut stream, &mut seen)?;
                }
                Load::Messages => {
                    stream.write_all(&MESSAGE)?;
                    let mut echoed = [0; MESSAGE.len()];
                    stream.read_exact(&mut echoed)?;
                    ensure!(echoed == MESSAGE, "another message came back");
                }
            }
            took.push(began.elapsed());
        }
        Ok(took)
    }
}

/// One whole answer; `seen`: what was read beyond, before and after.
fn answer(stream: &mut Stream, seen: &mut Vec<u8>) -> Result<()> {
    let head = head(stream, seen)?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length")
            .then(|| value.parse::<usize>().ok())?
    });
    let length = length.with_context(|| format!("no length: {head}"))?;
    while seen.len() < length {
        more(stream, seen)?;
    }
    seen.drain(..length);
    Ok(())
}

fn head(stream: &mut Stream, seen: &mut Vec<u8>) -> Result<String> {
    loop {
        if let Some(end) = seen.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = seen.drain(..end + 4).collect();
            return Ok(String::from_utf8(head)?);
        }
        more(stream, seen)?;
    }
}

fn more(stream: &mut Stream, seen: &mut Vec<u8>) -> Result<()> {
    let mut buffer = [0; 4096];
    let read = stream.read(&mut buffer)?;
    ensure!(read > 0, "the connection ended");
    seen.extend_from_slice(&buffer[..read]);
    Ok(())
}
