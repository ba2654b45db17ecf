//! The forwards of one worker: sockets and kernel entries around the state machines in `forward::table`.

mod forward;
mod survive;
mod telling;

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use forward::Forward;

use super::batch::Batch;
use super::icmp::queue::{Report, Reports};
use super::icmp::raw::Teller;
use super::socket::Socket;
use super::stats::Stat;
use super::worker::Context;
use crate::api;
use crate::events::Reason;
use crate::fastpath::SessionId;
use crate::forward::saved::SavedSession;
use crate::forward::shared::SharedLimit;
use crate::forward::table::{Client, Refusal, Rules, Session, Unheard, Verdict};

/// Over IPv6 without being asked (RFC 8200 §5), and over any IPv4 path worth the kernel's.
const ALWAYS_FITS: usize = 1280 - 48;

/// Names a forward for as long as it exists; a name may be given again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ForwardKey(pub u64);

/// What a worker needs to serve a forward.
pub struct NewForward {
    pub key: ForwardKey,
    pub name: Arc<str>,
    pub rules: Rules,
    pub limit: Arc<SharedLimit>,
    pub targets: Vec<SocketAddr>,
    pub listener: std::net::UdpSocket,
    /// Index of the worker that serves it.
    pub worker: usize,
    /// Of an earlier process's worker of the same index.
    pub restored: Vec<SavedSession>,
}

pub struct Forwarding {
    forwards: HashMap<ForwardKey, Forward>,
    next_id: u64,
    id_stride: u64,
    teller: Teller,
}

impl Forwarding {
    /// Session ids are `first`, `first + stride`, …: nobody else's.
    pub fn new(first: u64, stride: u64) -> Forwarding {
        Forwarding {
            forwards: HashMap::new(),
            next_id: first,
            id_stride: stride,
            teller: Teller::new(Instant::now()),
        }
    }

    pub fn add(&mut self, context: &mut Context<'_>, mut new: NewForward) -> io::Result<()> {
        let (key, restored) = (new.key, std::mem::take(&mut new.restored));
        let mut forward = Forward::new(context.worker, new)?;
        for saved in &restored {
            self.skip(saved.id);
            forward.restore(context, key, saved);
        }
        self.forwards.insert(key, forward);
        self.publish(context);
        Ok(())
    }

    /// The id was given by an earlier process: not again.
    fn skip(&mut self, id: u64) {
        if id >= self.next_id && id % self.id_stride == self.next_id % self.id_stride {
            self.next_id = id + self.id_stride;
        }
    }

    pub fn remove(&mut self, context: &mut Context<'_>, key: ForwardKey) {
        if let Some(mut forward) = self.forwards.remove(&key) {
            forward.table.kill_all(Reason::Removed);
            forward.carry_out(context);
        }
        self.publish(context);
    }

    /// Ends the sessions; the forwards stay.
    pub fn end_all(&mut self, context: &mut Context<'_>, why: Reason) {
        for forward in self.forwards.values_mut() {
            forward.table.kill_all(why);
            forward.carry_out(context);
        }
        self.publish(context);
    }

    /// Ends the sessions of the forward of this name. How many there were.
    pub fn kill_of(&mut self, context: &mut Context<'_>, name: &str) -> usize {
        let mut killed = 0;
        let named = self.forwards.values_mut().filter(|one| *one.name == *name);
        for forward in named {
            killed += forward.sessions();
            forward.table.kill_all(Reason::Killed);
            forward.carry_out(context);
        }
        self.publish(context);
        killed
    }

    pub fn remove_all(&mut self, context: &mut Context<'_>) {
        let all: Vec<_> = self.forwards.keys().copied().collect();
        all.into_iter().for_each(|key| self.remove(context, key));
    }

    pub fn retarget(
        &mut self,
        context: &mut Context<'_>,
        key: ForwardKey,
        targets: Vec<SocketAddr>,
        may_reach: impl Fn(SocketAddr) -> bool,
    ) {
        if let Some(forward) = self.forwards.get_mut(&key) {
            forward.table.retarget(targets, may_reach);
            forward.carry_out(context);
        }
        self.publish(context);
    }

    pub fn kill(&mut self, context: &mut Context<'_>, id: api::SessionId) -> bool {
        let killed = self.forwards.values_mut().any(|forward| {
            let killed = forward.table.kill(SessionId(id));
            forward.carry_out(context);
            killed
        });
        self.publish(context);
        killed
    }

    pub fn from_clients(
        &mut self,
        context: &mut Context<'_>,
        key: ForwardKey,
        socket: &Socket,
        batch: &Batch,
    ) {
        let Some(forward) = self.forwards.get_mut(&key) else {
            return;
        };
        for datagram in batch.datagrams() {
            let Some(server) = datagram.contacted(socket.local()) else {
                context.stats.add(Stat::DroppedNoDestinationAddress, 1);
                continue;
            };
            let client = Client {
                remote: datagram.from,
                server,
            };
            match forward
                .table
                .handle_client(context.now.mono, client, datagram.bytes.len())
            {
                Verdict::Relay {
                    session,
                    destination,
                } => {
                    forward.to_destination(context, session, destination, &datagram);
                    let length = datagram.bytes.len();
                    if length > ALWAYS_FITS
                        && let Some(error) = forward.too_big(context, session, destination, length)
                    {
                        forward.report(context, &mut self.teller, session, destination, error);
                    }
                }
                Verdict::Refused(refusal) => context.stats.add(stat_of(refusal), 1),
                Verdict::Open(opening) => {
                    forward.carry_out(context);
                    let session = SessionId(self.next_id);
                    self.next_id += self.id_stride;
                    forward.open(context, key, session, opening, &datagram);
                }
            }
        }
        forward.carry_out(context);
        self.publish(context);
    }

    pub fn from_destination(
        &mut self,
        context: &mut Context<'_>,
        key: ForwardKey,
        session: SessionId,
        batch: &Batch,
    ) {
        let Some(forward) = self.forwards.get_mut(&key) else {
            return;
        };
        let now = context.now.mono;
        for datagram in batch.datagrams() {
            match forward.table.handle_destination(
                now,
                session,
                datagram.from,
                datagram.bytes.len(),
            ) {
                Ok(client) => forward.to_client(context, session, client, &datagram),
                Err(Unheard::Expired) => context.stats.add(Stat::DroppedExpired, 1),
                Err(Unheard::NotTheDestination) => {
                    context.stats.add(Stat::DroppedNotFromDestination, 1)
                }
            }
        }
    }

    /// ICMP errors about what a session sent to its destination: the client is told in kind.
    pub fn from_icmp(
        &mut self,
        context: &mut Context<'_>,
        key: ForwardKey,
        session: SessionId,
        reports: &Reports,
    ) {
        let Some(forward) = self.forwards.get_mut(&key) else {
            return;
        };
        for Report { about, error, .. } in reports.iter().copied() {
            forward.report(context, &mut self.teller, session, about, error);
        }
    }

    pub fn handle_timeout(&mut self, context: &mut Context<'_>) {
        for forward in self.forwards.values_mut() {
            let fastpath = &context.shared.fastpath;
            forward.table.handle_timeout(context.now.mono, |session| {
                let traffic = fastpath.session(session).traffic;
                traffic.near.packets + traffic.far.packets
            });
            forward.carry_out(context);
        }
        self.publish(context);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.forwards
            .values()
            .filter_map(|forward| forward.table.poll_timeout())
            .min()
    }

    /// Every session with its forward.
    pub fn sessions(&self) -> impl Iterator<Item = (&Forward, SessionId, &Session)> {
        self.forwards.values().flat_map(|forward| {
            let sessions = forward.table.sessions();
            sessions.map(move |(id, session)| (forward, id, session))
        })
    }

    fn publish(&self, context: &Context<'_>) {
        let sessions: usize = self
            .forwards
            .values()
            .map(|forward| forward.sessions())
            .sum();
        context.stats.set(Stat::ForwardSessions, sessions as u64);
    }
}

fn stat_of(refusal: Refusal) -> Stat {
    match refusal {
        Refusal::Allow => Stat::ForwardRefusedAllow,
        Refusal::Full => Stat::ForwardRefusedFull,
        Refusal::Rate => Stat::ForwardRefusedRate,
        Refusal::NoTarget => Stat::ForwardRefusedNoTarget,
        Refusal::Draining => Stat::ForwardRefusedDraining,
    }
}
