//! The forwards of one worker: sockets and kernel entries around the state machines in `forward::table`.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::AbortHandle;

use super::batch::{Batch, Datagram};
use super::ports::{Bound, PortFault};
use super::receive::{self, Role};
use super::shared::Shared;
use super::socket::{Route, Socket};
use super::stats::Stat;
use super::worker::{Context, Worker};
use crate::api;
use crate::fastpath::SessionId;
use crate::forward::shared::SharedLimit;
use crate::forward::table::{
    Client, Command, Opening, Refusal, Rules, Session, Table, Unheard, Verdict,
};

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
}

pub struct Forwarding {
    forwards: HashMap<ForwardKey, Forward>,
    next_id: u64,
    id_stride: u64,
}

struct Forward {
    name: Arc<str>,
    table: Table,
    listener: Rc<Socket>,
    listener_task: AbortHandle,
    ports: HashMap<SessionId, Port>,
}

/// The relay port of one client. Dropping it closes the socket.
struct Port {
    socket: Rc<Socket>,
    local: SocketAddr,
    task: AbortHandle,
}

impl Drop for Port {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        self.listener_task.abort();
    }
}

impl Forwarding {
    /// Session ids are `first`, `first + stride`, …: nobody else's.
    pub fn new(first: u64, stride: u64) -> Forwarding {
        Forwarding {
            forwards: HashMap::new(),
            next_id: first,
            id_stride: stride,
        }
    }

    pub fn add(&mut self, worker: &Rc<Worker>, new: NewForward) -> io::Result<()> {
        let listener = Rc::new(Socket::new(new.listener)?);
        let listener_task =
            receive::spawn(worker, Rc::clone(&listener), Role::ForwardListener(new.key));
        let table = Table::new(new.rules, new.limit, new.targets);
        let forward = Forward {
            name: new.name,
            table,
            listener,
            listener_task,
            ports: HashMap::new(),
        };
        self.forwards.insert(new.key, forward);
        Ok(())
    }

    pub fn remove(&mut self, context: &mut Context<'_>, key: ForwardKey) {
        if let Some(mut forward) = self.forwards.remove(&key) {
            forward.table.kill_all();
            forward.carry_out(context);
        }
        self.publish(context);
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
            let local = socket.local();
            let Some(contacted) = datagram
                .to
                .or(Some(local.ip()).filter(|ip| !ip.is_unspecified()))
            else {
                context.stats.add(Stat::DroppedNoDestinationAddress, 1);
                continue;
            };
            let client = Client {
                remote: datagram.from,
                server: SocketAddr::new(contacted, local.port()),
            };
            match forward
                .table
                .handle_client(context.now.mono, client, datagram.bytes.len())
            {
                Verdict::Relay {
                    session,
                    destination,
                } => forward.to_destination(context, session, destination, &datagram),
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
                Ok(client) => forward.to_client(context, client, &datagram),
                Err(Unheard::Expired) => context.stats.add(Stat::DroppedExpired, 1),
                Err(Unheard::NotTheDestination) => {
                    context.stats.add(Stat::DroppedNotFromDestination, 1)
                }
            }
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

    /// Every session with the name of its forward.
    pub fn sessions(&self) -> impl Iterator<Item = (&str, SessionId, &Session)> {
        self.forwards.values().flat_map(|forward| {
            forward
                .table
                .sessions()
                .map(|(id, session)| (&*forward.name, id, session))
        })
    }

    fn publish(&self, context: &Context<'_>) {
        let sessions: usize = self
            .forwards
            .values()
            .map(|forward| forward.ports.len())
            .sum();
        context.stats.set(Stat::ForwardSessions, sessions as u64);
    }
}

impl Forward {
    /// Binds the client's relay port and relays the datagram that asked for it.
    fn open(
        &mut self,
        context: &mut Context<'_>,
        key: ForwardKey,
        session: SessionId,
        opening: Opening,
        datagram: &Datagram<'_>,
    ) {
        let bound = bind(context.shared, opening.destination)
            .map_err(io::Error::other)
            .and_then(|bound| Ok((bound.address, Rc::new(Socket::of_pool(bound)?))));
        let (local, socket) = match bound {
            Ok(bound) => bound,
            Err(error) => {
                tracing::debug!(%error, forward = &*self.name, "no relay port for a client");
                context.stats.add(Stat::ForwardRefusedNoPort, 1);
                return self.table.not_opened(opening);
            }
        };
        let task = receive::spawn(
            context.worker,
            Rc::clone(&socket),
            Role::ForwardPort(key, session),
        );
        context.shared.fastpath.open_flow_port(local);
        self.ports.insert(
            session,
            Port {
                socket,
                local,
                task,
            },
        );
        self.table.opened(
            context.now.mono,
            session,
            opening,
            local,
            datagram.bytes.len(),
        );
        context.stats.add(Stat::ForwardOpened, 1);
        self.to_destination(context, session, opening.destination, datagram);
        self.carry_out(context);
    }

    fn to_destination(
        &self,
        context: &mut Context<'_>,
        session: SessionId,
        to: SocketAddr,
        datagram: &Datagram<'_>,
    ) {
        let Some(port) = self.ports.get(&session) else {
            return;
        };
        let route = Route {
            to,
            from: None,
            ecn: datagram.ecn,
            dont_fragment: false,
        };
        context.outbox.push(&port.socket, route, datagram.bytes);
        context.stats.add(Stat::PacketsToPeer, 1);
        context
            .stats
            .add(Stat::BytesToPeer, datagram.bytes.len() as u64);
    }

    fn to_client(&self, context: &mut Context<'_>, client: Client, datagram: &Datagram<'_>) {
        let from = self
            .listener
            .local()
            .ip()
            .is_unspecified()
            .then(|| client.server.ip());
        let route = Route {
            to: client.remote,
            from,
            ecn: datagram.ecn,
            dont_fragment: false,
        };
        context.outbox.push(&self.listener, route, datagram.bytes);
        context.stats.add(Stat::PacketsToClient, 1);
        context
            .stats
            .add(Stat::BytesToClient, datagram.bytes.len() as u64);
    }

    fn carry_out(&mut self, context: &mut Context<'_>) {
        while let Some(command) = self.table.next_command() {
            let fastpath = &context.shared.fastpath;
            match command {
                Command::Install { session, spec } => fastpath.install(session, spec),
                Command::Extend { session, deadline } => {
                    fastpath.extend(session, deadline, deadline)
                }
                Command::Remove { session } => {
                    fastpath.remove(session);
                    if let Some(port) = self.ports.remove(&session) {
                        fastpath.close_port(port.local);
                    }
                    context.stats.add(Stat::ForwardEnded, 1);
                }
            }
        }
    }
}

fn bind(shared: &Shared, destination: SocketAddr) -> Result<Bound, PortFault> {
    let address = shared.addresses.for_destination(destination);
    let address = address.map_err(|source| PortFault::Bind {
        address: destination.ip(),
        source,
    })?;
    shared.pool.bind(address)
}

fn stat_of(refusal: Refusal) -> Stat {
    match refusal {
        Refusal::Allow => Stat::ForwardRefusedAllow,
        Refusal::Full => Stat::ForwardRefusedFull,
        Refusal::Rate => Stat::ForwardRefusedRate,
        Refusal::NoTarget => Stat::ForwardRefusedNoTarget,
    }
}
