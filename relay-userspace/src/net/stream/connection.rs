//! One client's connection once it speaks TURN: what is read of it, what waits to leave by it. Never waits itself, and
//! knows messages only by their frames.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::task::{self, Poll, Waker};
use std::time::Instant;

use rustls::ServerConnection;
use socket2::SockRef;
use tokio::io::{Interest, Ready};
use tokio::net::TcpStream;

use super::bytes::{Sink, read_tcp, read_tls, write_plain, write_tls};
use super::gate::Place;
use super::inbox::{Inbox, READ};
use super::joined::Peer;
use super::kernel;
use crate::net::stats::{Stat, Stats};
use crate::stream::flight::Flight;
use crate::stream::queue::{Limits, Owner, Queue};
use crate::turn::{ConnectionId, FiveTuple};

/// Plaintext handed to TLS at a time: what is encrypted cannot be dropped any more. Little while the client reads slowly.
const SMALLEST_BURST: usize = 2 << 10;
/// Of the age data may reach, one part in so many is spent in the kernel, where nothing can be dropped, and one in so
/// many in the queue. The rest is for what is encrypted already, and for bursts.
const KERNELS_SHARE: u32 = 5;
const QUEUES_SHARE: u32 = 2;

pub struct Connection {
    tuple: FiveTuple,
    tcp: TcpStream,
    state: RefCell<State>,
    /// The kernel takes no more now.
    blocked: Cell<bool>,
    broken: Cell<bool>,
    /// Waits in an outbox to be flushed.
    scheduled: Cell<bool>,
    /// Held until there is an allocation.
    place: RefCell<Option<Place>>,
    /// Its task, while that waits in `ready`.
    waiting: Cell<Option<Waker>>,
    joined: RefCell<Option<Joined>>,
}

/// What makes it a data connection (RFC 6062).
pub struct Joined {
    pub connection: ConnectionId,
    /// The worker of its allocation.
    pub home: usize,
    pub peer: Peer,
}

struct State {
    tls: Option<Box<ServerConnection>>,
    queue: Queue,
    flight: Flight,
    /// Since when the kernel took no more, and what it held then.
    full: (Instant, usize),
    /// The kernel was full since all had left last: what waits, waits for the client. Else it waited for this process alone,
    /// and leaves however old it is, as a datagram would.
    clogged: bool,
    burst: usize,
    /// The beginning of a message whose rest is to come.
    begun: Vec<u8>,
    drops_told: u64,
}

impl Connection {
    /// `begun` was read already.
    pub fn new(
        tuple: FiveTuple,
        tcp: TcpStream,
        tls: Option<ServerConnection>,
        begun: Vec<u8>,
        limits: Limits,
        place: Place,
    ) -> Connection {
        let mut tls = tls;
        if let Some(tls) = &mut tls {
            // `burst` bounds what it holds; its own limit would cut messages in two.
            tls.set_buffer_limit(None);
        }
        Connection {
            tuple,
            tcp,
            state: RefCell::new(State {
                tls: tls.map(Box::new),
                queue: Queue::new(Limits {
                    age: limits.age / QUEUES_SHARE,
                    ..limits
                }),
                flight: Flight::new(limits.age / KERNELS_SHARE),
                full: (Instant::now(), 0),
                clogged: false,
                burst: SMALLEST_BURST,
                begun,
                drops_told: 0,
            }),
            blocked: Cell::new(false),
            broken: Cell::new(false),
            scheduled: Cell::new(false),
            place: RefCell::new(Some(place)),
            waiting: Cell::new(None),
            joined: RefCell::new(None),
        }
    }

    pub fn tuple(&self) -> FiveTuple {
        self.tuple
    }

    /// Queues a STUN answer.
    pub fn push_control(&self, message: &[u8]) {
        if self.state.borrow_mut().queue.push_control(message).is_err() {
            self.end();
        }
    }

    /// Queues framed data of `owner`.
    pub fn push_data(&self, now: Instant, owner: Owner, message: &[u8]) {
        let mut state = self.state.borrow_mut();
        match state.clogged {
            true => state.queue.push_data(now, owner, message),
            false => state.queue.push_behind(now, owner, message),
        }
    }

    /// Datagrams of `owner` that were dropped for want of a client that reads.
    pub fn dropped_of(&self, owner: Owner) -> u64 {
        self.state.borrow().queue.dropped_of(owner)
    }

    /// True once, until `flush`.
    pub fn schedule(&self) -> bool {
        !self.scheduled.replace(true)
    }

    /// Writes what the kernel takes. A fault ends the connection.
    pub fn flush(&self, now: Instant, stats: &Stats) {
        self.scheduled.set(false);
        let mut state = self.state.borrow_mut();
        if !self.blocked.get() && state.write(&self.tcp, &self.blocked, now).is_err() {
            self.end();
        } else if self.blocked.get() {
            self.wake();
        }
        let dropped = state.queue.dropped();
        let news = dropped - std::mem::replace(&mut state.drops_told, dropped);
        stats.add(Stat::DroppedStreamQueue, news);
    }

    /// The kernel takes more again.
    pub fn unblock(&self) {
        if self.blocked.replace(false) {
            self.state.borrow_mut().drained(&self.tcp, Instant::now());
        }
    }

    /// It speaks TURN no more, but what the peer does.
    pub fn join(&self, joined: Joined) {
        self.established();
        self.joined.replace(Some(joined));
        self.wake();
    }

    /// Once, with the bytes that came too early.
    pub fn take_joined(&self) -> Option<(Joined, Vec<u8>)> {
        let joined = self.joined.take()?;
        Some((joined, std::mem::take(&mut self.state.borrow_mut().begun)))
    }

    /// Queues bytes of a peer: only while `is_idle`.
    pub fn push_bytes(&self, bytes: &[u8]) {
        self.state.borrow_mut().queue.push_bytes(bytes);
    }

    /// Whether all that was queued has left.
    pub fn is_idle(&self) -> bool {
        let state = self.state.borrow();
        let encrypted = state.tls.as_ref().is_some_and(|tls| tls.wants_write());
        state.queue.is_empty() && !encrypted
    }

    /// Nothing more will be queued; the client may still send. False: the kernel has no room for the farewell yet.
    pub fn close_write(&self, now: Instant, stats: &Stats) -> io::Result<bool> {
        if let Some(tls) = &mut self.state.borrow_mut().tls {
            tls.send_close_notify();
        }
        self.flush(now, stats);
        if !self.is_idle() {
            return Ok(false);
        }
        SockRef::from(&self.tcp).shutdown(std::net::Shutdown::Write)?;
        Ok(true)
    }

    /// The socket, of a connection whose bytes go by it as they are.
    pub fn plain(&self) -> Option<&TcpStream> {
        let secured = self.state.borrow().tls.is_some();
        (!secured).then_some(&self.tcp)
    }

    /// Waits for room to write if that was wanting, and for something to read if `read`.
    pub async fn ready_for(&self, read: bool) -> io::Result<Ready> {
        let interest = match (read, self.blocked.get()) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            (false, false) => return std::future::pending().await,
        };
        if self.broken.get() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.tcp.ready(interest).await
    }

    /// Waits for something to read, for room to write if that was wanting, or for `end`.
    pub async fn ready(&self) -> io::Result<Ready> {
        poll_fn(|context| self.poll_ready(context)).await
    }

    fn poll_ready(&self, context: &mut task::Context<'_>) -> Poll<io::Result<Ready>> {
        if self.broken.get() {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.joined.borrow().is_some() {
            return Poll::Ready(Ok(Ready::EMPTY));
        }
        let mut ready = Ready::EMPTY;
        if self.tcp.poll_read_ready(context)?.is_ready() {
            ready |= Ready::READABLE;
        }
        if self.blocked.get() && self.tcp.poll_write_ready(context)?.is_ready() {
            ready |= Ready::WRITABLE;
        }
        if !ready.is_empty() {
            return Poll::Ready(Ok(ready));
        }
        self.waiting.set(Some(context.waker().clone()));
        Poll::Pending
    }

    /// Has its task look again.
    fn wake(&self) {
        if let Some(task) = self.waiting.take() {
            task.wake();
        }
    }

    /// Reads once. What has come is given to `take`, which says how much of it were whole messages. False: there is no
    /// more. `WouldBlock`: nothing is there; `UnexpectedEof`: nothing more will be.
    pub fn read(
        &self,
        inbox: &mut Inbox,
        take: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        let Inbox { wire, plain } = inbox;
        let mut state = self.state.borrow_mut();
        let begun = state.begun.len();
        plain[..begun].copy_from_slice(&state.begun);
        let (read, more) = match &mut state.tls {
            None => {
                let most = READ.min(plain.len() - begun);
                read_tcp(&self.tcp, &mut plain[begun..begun + most])?
            }
            Some(tls) => read_tls(&self.tcp, tls, wire, &mut plain[begun..])?,
        };
        drop(state);
        if read == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let taken = take(&plain[..begun + read])?;
        let mut state = self.state.borrow_mut();
        state.begun.clear();
        state.begun.extend_from_slice(&plain[taken..begun + read]);
        if state.begun.is_empty() {
            state.begun = Vec::new();
        }
        Ok(more)
    }

    /// Whether it has had no allocation yet.
    pub fn is_new(&self) -> bool {
        self.place.borrow().is_some()
    }

    /// It has an allocation.
    pub fn established(&self) {
        self.place.take();
    }

    /// Has its task end it.
    pub fn end(&self) {
        self.broken.set(true);
        self.wake();
    }

    /// Says farewell, as far as the kernel takes it.
    pub fn close(&self) {
        let mut state = self.state.borrow_mut();
        if let Some(tls) = &mut state.tls {
            tls.send_close_notify();
            let _ = tls.write_tls(&mut Sink {
                tcp: &self.tcp,
                tight: false,
            });
        }
    }
}

impl State {
    fn write(&mut self, tcp: &TcpStream, blocked: &Cell<bool>, now: Instant) -> io::Result<()> {
        if self.clogged {
            self.queue.drop_aged(now);
        }
        let tight = self.flight.is_tight(now);
        let mut sink = Sink { tcp, tight };
        let written = match &mut self.tls {
            None => write_plain(&mut sink, &mut self.queue),
            Some(tls) => write_tls(&mut sink, tls, &mut self.queue, &mut self.burst),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.full = (now, kernel::held(tcp));
                self.clogged = true;
                blocked.set(true);
                Ok(())
            }
            written => {
                self.flight.emptied(now);
                self.clogged = false;
                written
            }
        }
    }

    fn drained(&mut self, tcp: &TcpStream, now: Instant) {
        let Ok(reading) = kernel::read(tcp) else {
            return;
        };
        let before = self.flight.size();
        let (since, held) = self.full;
        self.flight.drained(now, since, held, reading);
        if self.flight.is_tight(now) {
            self.burst = SMALLEST_BURST;
        }
        if self.flight.size() != before {
            kernel::allow(tcp, self.flight.size());
        }
    }
}

#[cfg(test)]
mod tests;
