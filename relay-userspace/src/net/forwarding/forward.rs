//! One forward on one worker: its listener, the relay port of each client, their kernel entries. Decides nothing.

use std::cell::Cell;
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::task::AbortHandle;

use super::{ForwardKey, NewForward};
use crate::events::Change;
use crate::fastpath::SessionId;
use crate::forward::table::{Client, Command, Opening, Table};
use crate::icmp::IcmpError;
use crate::net::batch::Datagram;
use crate::net::icmp::raw::{Teller, Untold};
use crate::net::ports::{Bound, PortFault};
use crate::net::receive::{self, Role};
use crate::net::shared::Shared;
use crate::net::socket::{Route, Socket};
use crate::net::stats::Stat;
use crate::net::worker::{Context, Worker};
use crate::police::{DOWN, Pass, UP};

/// Dropping it closes its sockets.
pub struct Forward {
    pub name: Arc<str>,
    pub table: Table,
    pub(super) worker: usize,
    listener: Rc<Socket>,
    listener_task: AbortHandle,
    ports: HashMap<SessionId, Port>,
}

/// The relay port of one client. Dropping it closes the socket.
struct Port {
    socket: Rc<Socket>,
    local: SocketAddr,
    pass: Pass,
    /// Packets over a limit: from the client, and to it.
    refused: Cell<[u64; 2]>,
    task: AbortHandle,
}

impl Port {
    fn admits(&self, direction: usize, context: &Context<'_>, bytes: usize) -> bool {
        let admitted = self.pass.admits(direction, context.now.mono, bytes);
        if !admitted {
            let mut refused = self.refused.get();
            refused[direction] += 1;
            self.refused.set(refused);
            context.stats.add(Stat::DroppedOverLimit, 1);
        }
        admitted
    }
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

impl Forward {
    pub fn new(worker: &Rc<Worker>, new: NewForward) -> io::Result<Forward> {
        let listener = Rc::new(Socket::new(new.listener)?);
        let listener_task =
            receive::spawn(worker, Rc::clone(&listener), Role::ForwardListener(new.key));
        let table = Table::new(new.rules, new.limit, new.targets);
        Ok(Forward {
            name: new.name,
            worker: new.worker,
            table,
            listener,
            listener_task,
            ports: HashMap::new(),
        })
    }

    /// Relay ports held.
    pub fn sessions(&self) -> usize {
        self.ports.len()
    }

    /// Binds the client's relay port and relays the datagram that asked for it.
    pub fn open(
        &mut self,
        context: &mut Context<'_>,
        key: ForwardKey,
        session: SessionId,
        opening: Opening,
        datagram: &Datagram<'_>,
    ) {
        let held = bind(context.shared, opening.destination)
            .map_err(io::Error::other)
            .and_then(|bound| self.hold(context, key, session, opening.client, bound));
        let local = match held {
            Ok(local) => local,
            Err(error) => {
                tracing::debug!(%error, forward = &*self.name, "no relay port for a client");
                context.stats.add(Stat::ForwardRefusedNoPort, 1);
                return self.table.not_opened(opening);
            }
        };
        self.table.opened(
            context.now.mono,
            session,
            opening,
            local,
            datagram.bytes.len(),
        );
        context.stats.add(Stat::ForwardOpened, 1);
        self.tell(context, session, Change::Created, None);
        self.to_destination(context, session, opening.destination, datagram);
        self.carry_out(context);
    }

    /// Makes a bound port the session's; returns its address.
    pub(super) fn hold(
        &mut self,
        context: &Context<'_>,
        key: ForwardKey,
        session: SessionId,
        client: Client,
        bound: Bound,
    ) -> io::Result<SocketAddr> {
        let local = bound.address;
        let socket = Rc::new(Socket::of_pool(bound)?);
        let role = Role::ForwardPort(key, session);
        let task = receive::spawn(context.worker, Rc::clone(&socket), role);
        let (fastpath, police) = (&context.shared.fastpath, &context.shared.police);
        fastpath.open_flow_port(local);
        let guess = fastpath.guess(client.remote, client.server, 0);
        let port = Port {
            socket,
            local,
            pass: police.session(session, None, guess),
            refused: Cell::default(),
            task,
        };
        self.ports.insert(session, port);
        Ok(local)
    }

    /// What userspace dropped of a session: from the client, and to it.
    pub fn refused(&self, session: SessionId) -> [u64; 2] {
        let port = self.ports.get(&session);
        port.map(|port| port.refused.get()).unwrap_or_default()
    }

    /// Gives the session's port back.
    pub(super) fn let_go(&mut self, context: &Context<'_>, session: SessionId) {
        if let Some(port) = self.ports.remove(&session) {
            context.shared.fastpath.close_port(port.local);
        }
    }

    pub fn to_destination(
        &self,
        context: &mut Context<'_>,
        session: SessionId,
        to: SocketAddr,
        datagram: &Datagram<'_>,
    ) {
        let Some(port) = self.ports.get(&session) else {
            return;
        };
        if !port.admits(UP, context, datagram.bytes.len()) {
            return;
        }
        let Some(marks) = datagram.marks.onward() else {
            return context.stats.add(Stat::DroppedHopLimit, 1);
        };
        let route = Route {
            to,
            from: None,
            marks,
            dont_fragment: false,
        };
        context.outbox.push(&port.socket, route, datagram.bytes);
        context.stats.add(Stat::PacketsToPeer, 1);
        context
            .stats
            .add(Stat::BytesToPeer, datagram.bytes.len() as u64);
    }

    pub fn to_client(
        &self,
        context: &mut Context<'_>,
        session: SessionId,
        client: Client,
        datagram: &Datagram<'_>,
    ) {
        let length = datagram.bytes.len();
        let port = self.ports.get(&session);
        if port.is_some_and(|port| !port.admits(DOWN, context, length)) {
            return;
        }
        let from = self
            .listener
            .local()
            .ip()
            .is_unspecified()
            .then(|| client.server.ip());
        let Some(marks) = datagram.marks.onward() else {
            return context.stats.add(Stat::DroppedHopLimit, 1);
        };
        let route = Route {
            to: client.remote,
            from,
            marks,
            dont_fragment: false,
        };
        context.outbox.push(&self.listener, route, datagram.bytes);
        context.stats.add(Stat::PacketsToClient, 1);
        context
            .stats
            .add(Stat::BytesToClient, datagram.bytes.len() as u64);
    }

    /// What left in fragments, or will further on, was too big for its path: the error a router would answer.
    pub fn too_big(
        &mut self,
        context: &Context<'_>,
        session: SessionId,
        to: SocketAddr,
        length: usize,
    ) -> Option<IcmpError> {
        if !self.table.is_to_be_measured(context.now.mono, session) {
            return None;
        }
        let mtu = context.shared.fastpath.far_mtu(session)?;
        let (kind, code, headers) = if to.is_ipv6() { (2, 0, 48) } else { (3, 4, 28) };
        let mtu = u32::from(mtu);
        (length + headers > mtu as usize).then_some(IcmpError { kind, code, mtu })
    }

    /// Tells the client of a session in kind of an ICMP error about what went to `about`.
    pub fn report(
        &mut self,
        context: &Context<'_>,
        teller: &mut Teller,
        session: SessionId,
        about: SocketAddr,
        error: IcmpError,
    ) {
        let (now, v6) = (context.now.mono, about.is_ipv6());
        let concerned = self.table.handle_icmp(now, session, about, error).ok();
        let Some(client) = concerned.filter(|_| error.is_an_error(v6)) else {
            return context.stats.add(Stat::IcmpUntoldUnknown, 1);
        };
        let what = error.describe(v6);
        tracing::debug!(forward = &*self.name, client = %client.remote, "{about}: {what}");
        let same = error.in_family(v6, client.remote.is_ipv6());
        let stat = match teller.tell(now, client.remote, client.server, same) {
            Ok(()) => Stat::IcmpTold,
            Err(Untold::Rate) => Stat::IcmpUntoldRate,
            Err(Untold::Send(error)) => {
                tracing::debug!(%error, "a client cannot be told by ICMP");
                Stat::IcmpUntoldFailed
            }
        };
        context.stats.add(stat, 1);
    }

    pub fn carry_out(&mut self, context: &mut Context<'_>) {
        while let Some(command) = self.table.next_command() {
            self.remember(context, &command);
            let fastpath = &context.shared.fastpath;
            match command {
                Command::Install { session, spec } => {
                    let limits = self.ports.get(&session).map(|port| port.pass.meters());
                    fastpath.install(session, spec, limits.unwrap_or_default());
                }
                Command::Extend { session, deadline } => {
                    fastpath.extend(session, deadline, deadline)
                }
                Command::Remove { session } => {
                    let kernel = fastpath.remove(session);
                    self.tell_end(context, session, kernel);
                    self.let_go(context, session);
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
