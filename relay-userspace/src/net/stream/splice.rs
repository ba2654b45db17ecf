//! The bytes of one TCP allocation's peer and its client's data connection (RFC 6062 §5.4), both ways: each side is read
//! only while the other takes, and one that stops sending may still receive.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use crate::net::worker::Worker;

/// What waits for one side at most.
const CHUNK: usize = 64 << 10;

/// A peer connection on its way to the worker of its data connection.
#[derive(Debug)]
pub struct Peer {
    pub stream: std::net::TcpStream,
    /// The allocation is gone.
    pub ended: CancellationToken,
    pub moved: Arc<Moved>,
}

/// Bytes, counted by the worker that moves them and read by the one whose allocation it is.
#[derive(Debug, Default)]
pub struct Moved {
    to_peer: AtomicU64,
    to_client: AtomicU64,
}

impl Moved {
    /// To the peer, and to the client.
    pub fn bytes(&self) -> [u64; 2] {
        [&self.to_peer, &self.to_client].map(|bytes| bytes.load(Relaxed))
    }
}

/// Until both sides have said all, one of them breaks, or the allocation ends.
pub async fn run(
    worker: &Rc<Worker>,
    connection: &Connection,
    peer: Peer,
    early: Vec<u8>,
) -> io::Result<()> {
    peer.stream.set_nonblocking(true)?;
    let stream = TcpStream::from_std(peer.stream)?;
    let mut pump = Pump {
        worker,
        connection,
        peer: stream,
        moved: peer.moved,
        chunk: vec![0; CHUNK].into(),
        to_peer: early,
        client_done: false,
        peer_done: false,
        told_peer: false,
        told_client: false,
    };
    tokio::select! {
        ended = pump.run() => ended,
        () = peer.ended.cancelled() => Ok(()),
    }
}

struct Pump<'a> {
    worker: &'a Rc<Worker>,
    connection: &'a Connection,
    peer: TcpStream,
    moved: Arc<Moved>,
    chunk: Box<[u8]>,
    to_peer: Vec<u8>,
    /// It sends no more.
    client_done: bool,
    peer_done: bool,
    /// It was told that the other side sends no more.
    told_peer: bool,
    told_client: bool,
}

impl Pump<'_> {
    async fn run(&mut self) -> io::Result<()> {
        loop {
            // Edge triggered: everything is tried until it would block, then one of them is waited for.
            let moved = self.read_client()? | self.write_peer()? | self.read_peer()?;
            self.connection.flush(Instant::now(), self.worker.stats());
            self.half_close()?;
            if self.told_peer && self.told_client {
                return Ok(());
            }
            if moved {
                tokio::task::yield_now().await;
                continue;
            }
            self.wait().await?;
        }
    }

    async fn wait(&self) -> io::Result<()> {
        let peer = match (self.wants_peer(), !self.to_peer.is_empty()) {
            (true, true) => Some(Interest::READABLE | Interest::WRITABLE),
            (true, false) => Some(Interest::READABLE),
            (false, true) => Some(Interest::WRITABLE),
            (false, false) => None,
        };
        let peer = async {
            match peer {
                Some(interest) => self.peer.ready(interest).await.map(|_| ()),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            ready = peer => ready,
            ready = self.connection.ready_for(self.wants_client()) => {
                if ready?.is_writable() {
                    self.connection.unblock();
                }
                Ok(())
            }
        }
    }

    fn wants_client(&self) -> bool {
        !self.client_done && self.to_peer.is_empty()
    }

    fn wants_peer(&self) -> bool {
        !self.peer_done && self.connection.is_idle()
    }

    fn read_client(&mut self) -> io::Result<bool> {
        if !self.wants_client() {
            return Ok(false);
        }
        let to_peer = &mut self.to_peer;
        let read = self.worker.read_bytes(self.connection, |bytes| {
            to_peer.extend_from_slice(bytes);
            Ok(bytes.len())
        });
        match read {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.client_done = true;
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }

    fn write_peer(&mut self) -> io::Result<bool> {
        if self.to_peer.is_empty() {
            return Ok(false);
        }
        match self.peer.try_write(&self.to_peer) {
            Ok(written) => {
                self.to_peer.drain(..written);
                self.moved.to_peer.fetch_add(written as u64, Relaxed);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn read_peer(&mut self) -> io::Result<bool> {
        if !self.wants_peer() {
            return Ok(false);
        }
        match self.peer.try_read(&mut self.chunk) {
            Ok(0) => {
                self.peer_done = true;
                Ok(true)
            }
            Ok(read) => {
                self.connection.push_bytes(&self.chunk[..read]);
                self.moved.to_client.fetch_add(read as u64, Relaxed);
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn half_close(&mut self) -> io::Result<()> {
        if self.client_done && self.to_peer.is_empty() && !self.told_peer {
            socket2::SockRef::from(&self.peer).shutdown(std::net::Shutdown::Write)?;
            self.told_peer = true;
        }
        if self.peer_done && self.connection.is_idle() && !self.told_client {
            self.connection.close_write()?;
            self.told_client = true;
        }
        Ok(())
    }
}
