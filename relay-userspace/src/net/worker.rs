//! One thread of the slow path: its sockets, its TURN server, its forward sessions, its timer. Shares nothing per packet.

use std::cell::{Cell, RefCell};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc};

use super::batch::Batch;
use super::control::Request;
use super::driver::Driver;
use super::forwarding::Forwarding;
use super::icmp::queue::Reports;
use super::outbox::Outbox;
use super::receive::{self, Role};
use super::shared::{Shared, Streams};
use super::socket::Socket;
use super::stats::{Stat, Stats};
use super::stream::{self, connection::Connection, inbox::Inbox};
use crate::journal::Journal;
use crate::turn::{self, Now};

const AFTER_A_PANIC: Duration = Duration::from_secs(1);

/// What a handler may touch besides its own state.
pub struct Context<'a> {
    pub worker: &'a Rc<Worker>,
    pub shared: &'a Shared,
    pub stats: &'a Stats,
    pub outbox: &'a mut Outbox,
    pub now: Now,
}

/// Borrows of the cells never live across an await: tasks of one thread cannot meet in them.
pub struct Worker {
    index: usize,
    shared: Arc<Shared>,
    stats: Arc<Stats>,
    batch: RefCell<Batch>,
    inbox: RefCell<Inbox>,
    reports: RefCell<Reports>,
    outbox: RefCell<Outbox>,
    driver: RefCell<Driver>,
    forwarding: RefCell<Forwarding>,
    /// Of clients on TCP and TLS, until `listen`.
    doors: Cell<Vec<tokio::net::TcpListener>>,
    /// When the timer task wakes by itself.
    armed: Cell<Option<Instant>>,
    rearm: Notify,
}

impl Worker {
    /// Inside the worker's runtime. `listeners` speak TURN, `doors` whatever their connections do.
    pub fn start(
        index: usize,
        shared: Arc<Shared>,
        stats: Arc<Stats>,
        server: turn::Server,
        forwarding: Forwarding,
        listeners: Vec<std::net::UdpSocket>,
        doors: Vec<std::net::TcpListener>,
    ) -> io::Result<Rc<Worker>> {
        let listeners = listeners
            .into_iter()
            .map(|socket| Socket::new(socket).map(Rc::new));
        let listeners = listeners.collect::<io::Result<Vec<_>>>()?;
        let doors = doors.into_iter().map(stream::listen::adopt);
        let doors = doors.collect::<io::Result<Vec<_>>>()?;
        let worker = Rc::new(Worker {
            index,
            shared,
            stats,
            batch: RefCell::default(),
            inbox: RefCell::default(),
            reports: RefCell::default(),
            outbox: RefCell::default(),
            driver: RefCell::new(Driver::new(server, listeners)),
            forwarding: RefCell::new(forwarding),
            doors: Cell::new(doors),
            armed: Cell::new(None),
            rearm: Notify::new(),
        });
        tokio::task::spawn_local(Rc::clone(&worker).timer());
        Ok(worker)
    }

    /// Hears clients from now on. What they sent before is still in the sockets.
    pub fn listen(self: &Rc<Self>) {
        for door in self.doors.take() {
            stream::listen::spawn(self, door);
        }
        for socket in self.driver.borrow().listeners() {
            receive::spawn(self, Rc::clone(socket), Role::TurnListener);
        }
        tokio::task::spawn_local(Rc::clone(self).commits());
    }

    /// Among all workers.
    pub fn index(&self) -> usize {
        self.index
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Takes one batch from `socket` and does everything that follows from it; true if there may be more.
    pub fn receive(self: &Rc<Self>, socket: &Rc<Socket>, role: Role) -> io::Result<bool> {
        let mut batch = self.batch.borrow_mut();
        let more = socket.receive(&mut batch)?;
        match role {
            Role::TurnListener => {
                self.with_driver(|driver, context| driver.from_clients(context, socket, &batch))
            }
            Role::RelayPort(relayed) => {
                self.with_driver(|driver, context| driver.from_peers(context, relayed, &batch));
            }
            Role::ForwardListener(key) => {
                self.with_forwarding(|forwarding, context| {
                    forwarding.from_clients(context, key, socket, &batch)
                });
            }
            Role::ForwardPort(key, session) => {
                self.with_forwarding(|forwarding, context| {
                    forwarding.from_destination(context, key, session, &batch)
                });
            }
        }
        Ok(more)
    }

    /// What holds for connections of TCP and TLS.
    pub fn streams(&self) -> &Streams {
        &self.shared.streams
    }

    /// Reads once from a connection and does everything that follows from it. False: there is no more.
    pub fn read_stream(self: &Rc<Self>, connection: &Rc<Connection>) -> io::Result<bool> {
        let mut inbox = self.inbox.borrow_mut();
        connection.read(&mut inbox, |bytes| {
            self.with_driver(|driver, context| driver.from_stream(context, connection, bytes))
        })
    }

    /// Reads once from a connection that speaks TURN no more.
    pub fn read_bytes(
        &self,
        connection: &Connection,
        take: impl FnOnce(&[u8]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        connection.read(&mut self.inbox.borrow_mut(), take)
    }

    /// How to reach the worker of this index, maybe this one.
    pub fn peer_worker(&self, index: usize) -> Option<mpsc::UnboundedSender<Request>> {
        self.shared.worker(index)
    }

    /// Takes one batch of ICMP errors from `socket` and tells whom they concern.
    pub fn reports(self: &Rc<Self>, socket: &Socket, role: Role) {
        let mut reports = self.reports.borrow_mut();
        // `WouldBlock` ends a batch; nothing else is expected, and what was read before is good.
        let _ = socket.reports(&mut reports);
        for report in reports.iter() {
            let stat = Stat::of_icmp(&report.error, report.about.is_ipv6());
            self.stats.add(stat, 1);
            if stat == Stat::IcmpTooBig && report.from.is_some() {
                self.shared
                    .fastpath
                    .narrow(report.about.ip(), report.error.mtu);
            }
        }
        match role {
            Role::RelayPort(relayed) => {
                self.with_driver(|driver, context| driver.from_icmp(context, relayed, &reports));
            }
            Role::ForwardPort(key, session) => {
                self.with_forwarding(|forwarding, context| {
                    forwarding.from_icmp(context, key, session, &reports);
                });
            }
            // Of clients that are gone nobody has to be told.
            Role::TurnListener | Role::ForwardListener(_) => {}
        }
    }

    /// Runs `act` on the TURN side, then sends what it queued.
    pub fn with_driver<T>(
        self: &Rc<Self>,
        act: impl FnOnce(&mut Driver, &mut Context<'_>) -> T,
    ) -> T {
        self.with(|context| act(&mut self.driver.borrow_mut(), context))
    }

    /// Runs `act` on the forwards, then sends what it queued.
    pub fn with_forwarding<T>(
        self: &Rc<Self>,
        act: impl FnOnce(&mut Forwarding, &mut Context<'_>) -> T,
    ) -> T {
        self.with(|context| act(&mut self.forwarding.borrow_mut(), context))
    }

    fn with<T>(self: &Rc<Self>, act: impl FnOnce(&mut Context<'_>) -> T) -> T {
        let mut outbox = self.outbox.borrow_mut();
        let (shared, stats) = (&*self.shared, &*self.stats);
        let done = act(&mut Context {
            worker: self,
            shared,
            stats,
            outbox: &mut outbox,
            now: now(),
        });
        outbox.flush(&self.stats);
        drop(outbox);
        let earlier = |due: &Instant| self.armed.get().is_none_or(|armed| *due < armed);
        if self.next_timeout().as_ref().is_some_and(earlier) {
            self.rearm.notify_one();
        }
        done
    }

    /// A fault of ours in handling one batch must not end a listener, or the timer that ends permissions.
    pub fn guard<T>(&self, act: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(act));
        if done.is_err() {
            self.stats.add(Stat::Panics, 1);
        }
        done.ok()
    }

    fn next_timeout(&self) -> Option<Instant> {
        let timeouts = [
            self.driver.borrow().poll_timeout(),
            self.forwarding.borrow().poll_timeout(),
        ];
        timeouts.into_iter().flatten().min()
    }

    /// Lets answers go when the journal has what they say.
    async fn commits(self: Rc<Self>) {
        let Some(mut committed) = self.shared.journal.as_ref().map(Journal::committed) else {
            return;
        };
        while committed.changed().await.is_ok() {
            let commit = *committed.borrow_and_update();
            self.guard(|| self.with_driver(|driver, context| driver.committed(context, commit)));
        }
    }

    async fn timer(self: Rc<Self>) {
        loop {
            let due = self.next_timeout();
            self.armed.set(due);
            let sleep = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = sleep => {
                    let done = self.guard(|| {
                        self.with_driver(|driver, context| driver.handle_timeout(context));
                        self.with_forwarding(|forwarding, context| forwarding.handle_timeout(context));
                    });
                    if done.is_none() {
                        // What is due stays due: not again at once.
                        tokio::time::sleep(AFTER_A_PANIC).await;
                    }
                }
                () = self.rearm.notified() => {}
            }
        }
    }
}

fn now() -> Now {
    let unix = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Now {
        mono: Instant::now(),
        unix: unix.as_secs(),
        into_second: Duration::from_nanos(unix.subsec_nanos().into()),
    }
}
