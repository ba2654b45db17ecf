//! The bytes of one TCP allocation's peer and its client's data connection (RFC 6062 §5.4), both ways: each side is read
//! only while the other takes and its limits let it, and one that stops sending may still receive.

mod pipe;

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use tokio::io::{AsyncWriteExt, Interest};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use super::connection::Connection;
use crate::net::worker::Worker;
use crate::police::{DOWN, Pass, UP};
use pipe::Lane;

/// What waits for one side at most.
const CHUNK: usize = 64 << 10;
/// Of what a limit lets pass, less is not read at a time.
const LEAST: usize = 4 << 10;

/// A peer connection on its way to the worker of its data connection.
#[derive(Debug)]
pub struct Peer {
    pub stream: std::net::TcpStream,
    /// The allocation is gone.
    pub ended: CancellationToken,
    /// What it is held to, and with it its user.
    pub pass: Pass,
    pub moved: Arc<Moved>,
}

/// Bytes, counted by the worker that moves them and read by the one whose allocation it is.
#[derive(Debug, Default)]
pub struct Moved([AtomicU64; 2]);

impl Moved {
    /// To the peer, and to the client.
    pub fn bytes(&self) -> [u64; 2] {
        self.0.each_ref().map(|bytes| bytes.load(Relaxed))
    }

    fn add(&self, direction: usize, bytes: usize) {
        self.0[direction].fetch_add(bytes as u64, Relaxed);
    }
}

/// What the bytes of one peer connection are held to, and where they are counted.
struct Terms {
    pass: Pass,
    moved: Arc<Moved>,
}

/// Until both sides have said all, one of them breaks, or the allocation ends.
pub async fn run(
    worker: &Rc<Worker>,
    connection: &Connection,
    peer: Peer,
    early: Vec<u8>,
) -> io::Result<()> {
    let Peer {
        stream,
        ended,
        pass,
        moved,
    } = peer;
    stream.set_nonblocking(true)?;
    let stream = TcpStream::from_std(stream)?;
    let terms = Terms { pass, moved };
    let moving = async {
        match connection.plain() {
            Some(client) => {
                answered(worker, connection).await?;
                in_the_kernel(client, stream, &terms, &early).await
            }
            None => {
                Pump::new(worker, connection, stream, terms, early)
                    .run()
                    .await
            }
        }
    };
    tokio::select! {
        moved = moving => moved,
        () = ended.cancelled() => Ok(()),
    }
}

/// Until what was queued for the client has left: bytes of the peer come behind it.
async fn answered(worker: &Worker, connection: &Connection) -> io::Result<()> {
    loop {
        connection.flush(Instant::now(), worker.stats());
        if connection.is_idle() {
            return Ok(());
        }
        if connection.ready_for(false).await?.is_writable() {
            connection.unblock();
        }
    }
}

async fn in_the_kernel(
    client: &TcpStream,
    mut peer: TcpStream,
    terms: &Terms,
    early: &[u8],
) -> io::Result<()> {
    peer.write_all(early).await?;
    terms.moved.add(UP, early.len());
    let (up, down) = (Lane::new(client, &peer)?, Lane::new(&peer, client)?);
    tokio::try_join!(up.run(terms, UP), down.run(terms, DOWN)).map(drop)
}

struct Pump<'a> {
    worker: &'a Rc<Worker>,
    connection: &'a Connection,
    peer: TcpStream,
    terms: Terms,
    chunk: Box<[u8]>,
    to_peer: Vec<u8>,
    /// It sends no more.
    client_done: bool,
    peer_done: bool,
    /// It was told that the other side sends no more.
    told_peer: bool,
    told_client: bool,
}

impl<'a> Pump<'a> {
    fn new(
        worker: &'a Rc<Worker>,
        connection: &'a Connection,
        peer: TcpStream,
        terms: Terms,
        early: Vec<u8>,
    ) -> Self {
        Self {
            worker,
            connection,
            peer,
            terms,
            chunk: vec![0; CHUNK].into(),
            to_peer: early,
            client_done: false,
            peer_done: false,
            told_peer: false,
            told_client: false,
        }
    }

    async fn run(mut self) -> io::Result<()> {
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
            () = self.allowed() => Ok(()),
            ready = self.connection.ready_for(self.wants_client()) => {
                if ready?.is_writable() {
                    self.connection.unblock();
                }
                Ok(())
            }
        }
    }

    /// When one that has to wait for its limit may be read again.
    async fn allowed(&self) {
        let now = Instant::now();
        let waits = [(self.takes_of_client(), UP), (self.takes_of_peer(), DOWN)]
            .into_iter()
            .filter_map(|(takes, direction)| {
                self.terms.pass.room(direction, now).err().filter(|_| takes)
            });
        match waits.min() {
            Some(wait) => tokio::time::sleep(wait).await,
            None => std::future::pending().await,
        }
    }

    fn takes_of_client(&self) -> bool {
        !self.client_done && self.to_peer.is_empty()
    }

    fn takes_of_peer(&self) -> bool {
        !self.peer_done && self.connection.is_idle()
    }

    fn wants_client(&self) -> bool {
        self.takes_of_client() && self.terms.pass.room(UP, Instant::now()).is_ok()
    }

    fn wants_peer(&self) -> bool {
        self.takes_of_peer() && self.terms.pass.room(DOWN, Instant::now()).is_ok()
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
            Ok(_) => {
                self.terms
                    .pass
                    .spend(UP, Instant::now(), self.to_peer.len());
                Ok(true)
            }
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
                self.terms.moved.add(UP, written);
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
        let room = self
            .terms
            .pass
            .room(DOWN, Instant::now())
            .unwrap_or_default();
        let room = room.clamp(LEAST, CHUNK);
        match self.peer.try_read(&mut self.chunk[..room]) {
            Ok(0) => {
                self.peer_done = true;
                Ok(true)
            }
            Ok(read) => {
                self.connection.push_bytes(&self.chunk[..read]);
                self.terms.pass.spend(DOWN, Instant::now(), read);
                self.terms.moved.add(DOWN, read);
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
            let (now, stats) = (Instant::now(), self.worker.stats());
            self.told_client = self.connection.close_write(now, stats)?;
        }
        Ok(())
    }
}
