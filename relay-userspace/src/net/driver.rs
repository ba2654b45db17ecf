//! Carries out what the TURN server orders: the only file that knows both the protocol and the kernel.
//! Decides nothing; orders are carried out strictly in order, so that a session is gone from the kernel before the
//! answer that says so leaves.

mod relay_port;
mod survive;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use relay_port::RelayPort;

use super::batch::Batch;
use super::icmp::queue::Reports;
use super::marks::Marks;
use super::ports::{Bound, PortFault};
use super::receive::{self, Role};
use super::socket::{Route, Socket};
use super::stats::Stat;
use super::worker::Context;
use crate::api;
use crate::fastpath::SessionId;
use crate::turn::{
    self, AllocationId, BindFault, Command, Family, FiveTuple, PortWish, Server, Transport,
};

pub struct Driver {
    server: Server,
    listeners: Vec<Rc<Socket>>,
    ports: HashMap<SocketAddr, RelayPort>,
    /// The relayed address and the peer of each channel.
    channels: HashMap<SessionId, (SocketAddr, SocketAddr)>,
    framed: Vec<u8>,
}

impl Driver {
    pub fn new(server: Server, listeners: Vec<Rc<Socket>>) -> Driver {
        Driver {
            server,
            listeners,
            ports: HashMap::new(),
            channels: HashMap::new(),
            framed: Vec::new(),
        }
    }

    pub fn from_clients(&mut self, context: &mut Context<'_>, socket: &Socket, batch: &Batch) {
        for datagram in batch.datagrams() {
            let Some(server) = datagram.contacted(socket.local()) else {
                context.stats.add(Stat::DroppedNoDestinationAddress, 1);
                continue;
            };
            let tuple = FiveTuple {
                client: datagram.from,
                server,
                transport: Transport::Udp,
            };
            let Some(relay) = self
                .server
                .handle_client(context.now, tuple, datagram.bytes)
            else {
                self.carry_out(context);
                continue;
            };
            let Some(port) = self.ports.get_mut(&relay.relayed) else {
                context.stats.add(Stat::DroppedNoSocket, 1);
                continue;
            };
            let Some(marks) = datagram.marks.onward() else {
                context.stats.add(Stat::DroppedHopLimit, 1);
                continue;
            };
            let route = Route {
                to: relay.peer,
                from: None,
                marks,
                dont_fragment: relay.dont_fragment,
            };
            context.outbox.push(&port.socket, route, relay.data);
            port.count_to_peer(context.now.mono, relay.peer, relay.data.len());
            context.stats.add(Stat::PacketsToPeer, 1);
            context
                .stats
                .add(Stat::BytesToPeer, relay.data.len() as u64);
        }
    }

    pub fn from_peers(&mut self, context: &mut Context<'_>, relayed: SocketAddr, batch: &Batch) {
        for datagram in batch.datagrams() {
            let Some(marks) = datagram.marks.onward() else {
                context.stats.add(Stat::DroppedHopLimit, 1);
                continue;
            };
            self.framed.clear();
            let (from, bytes) = (datagram.from, datagram.bytes);
            let Some(to) =
                self.server
                    .handle_peer(context.now, relayed, from, bytes, &mut self.framed)
            else {
                context.stats.add(Stat::DroppedNotPermitted, 1);
                continue;
            };
            let Some((socket, route)) = route_to_client(&self.listeners, to) else {
                context.stats.add(Stat::DroppedNoSocket, 1);
                continue;
            };
            context
                .outbox
                .push(socket, Route { marks, ..route }, &self.framed);
            if let Some(port) = self.ports.get_mut(&relayed) {
                port.count_to_client(context.now.mono, from, bytes.len());
            }
            context.stats.add(Stat::PacketsToClient, 1);
            context.stats.add(Stat::BytesToClient, bytes.len() as u64);
        }
        self.carry_out(context);
    }

    /// ICMP errors about what left from a relayed address.
    pub fn from_icmp(&mut self, context: &mut Context<'_>, relayed: SocketAddr, reports: &Reports) {
        for report in reports.iter() {
            let (now, about, error) = (context.now, report.about, report.error);
            let framed = &mut self.framed;
            let Some(to) = self.server.handle_icmp(now, relayed, about, error, framed) else {
                continue;
            };
            match route_to_client(&self.listeners, to) {
                Some((socket, route)) => context.outbox.push(socket, route, &self.framed),
                None => context.stats.add(Stat::DroppedNoSocket, 1),
            }
        }
    }

    pub fn handle_timeout(&mut self, context: &mut Context<'_>) {
        self.server.handle_timeout(context.now);
        self.carry_out(context);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.server.poll_timeout()
    }

    pub fn server(&self) -> &Server {
        &self.server
    }

    /// Ends the allocation `id` names, or the one its channel belongs to.
    pub fn kill(&mut self, context: &mut Context<'_>, id: api::SessionId) -> bool {
        let of_channel = self
            .channels
            .get(&SessionId(id))
            .and_then(|(relayed, _)| self.ports.get(relayed));
        let allocation = of_channel.map_or(AllocationId(id), |port| port.allocation);
        let known = self.server.kill(context.now, allocation);
        self.carry_out(context);
        known
    }

    /// Ends every allocation.
    pub fn kill_all(&mut self, context: &mut Context<'_>) {
        let all: Vec<_> = self.server.allocations().map(|view| view.id).collect();
        for id in all {
            self.server.kill(context.now, id);
        }
        self.carry_out(context);
    }

    fn carry_out(&mut self, context: &mut Context<'_>) {
        while let Some(command) = self.server.next_command() {
            match command {
                Command::Send { to, bytes } => match route_to_client(&self.listeners, to) {
                    Some((socket, route)) => context.outbox.push(socket, route, &bytes),
                    None => context.stats.add(Stat::DroppedNoSocket, 1),
                },
                Command::BindRelay {
                    allocation,
                    family,
                    local_hint,
                    port,
                } => {
                    let bound = bind(context, family, local_hint, port);
                    let bound = bound.and_then(|bound| self.open(context, allocation, bound));
                    if bound.is_err() {
                        context.stats.add(Stat::RelayBindFailed, 1);
                    }
                    self.server
                        .relay_bound(context.now, allocation, family, bound);
                }
                Command::ReleaseRelay { relayed, .. } => self.close(context, relayed),
                Command::CancelReservation { token } => {
                    context.shared.pool.cancel_reservation(token);
                }
                Command::InstallSession {
                    session,
                    transport,
                    spec,
                    ..
                } => {
                    // The kernel knows datagrams: a stream's sessions are relayed here.
                    if transport == Transport::Udp {
                        context.shared.fastpath.install(session, spec);
                    }
                    let (relayed, peer) = (spec.far.local, spec.far.remote);
                    self.channels.insert(session, (relayed, peer));
                    if let Some(port) = self.ports.get_mut(&relayed) {
                        port.channel_bound(peer, context.now.mono);
                    }
                }
                Command::ExtendSession {
                    session,
                    near_deadline,
                    far_deadline,
                } => {
                    context
                        .shared
                        .fastpath
                        .extend(session, near_deadline, far_deadline);
                }
                Command::RemoveSession { session } => {
                    context.shared.fastpath.remove(session);
                    if let Some((relayed, peer)) = self.channels.remove(&session)
                        && let Some(port) = self.ports.get_mut(&relayed)
                    {
                        port.channel_gone(peer);
                    }
                }
            }
        }
        self.remember(context);
        context
            .stats
            .set(Stat::Allocations, self.server.allocation_count() as u64);
        context
            .stats
            .set(Stat::ChannelSessions, self.channels.len() as u64);
    }

    fn open(
        &mut self,
        context: &mut Context<'_>,
        allocation: AllocationId,
        bound: Bound,
    ) -> Result<SocketAddr, BindFault> {
        let relayed = bound.address;
        let socket = Rc::new(Socket::of_pool(bound).map_err(|_| BindFault::Refused)?);
        let task = receive::spawn(context.worker, Rc::clone(&socket), Role::RelayPort(relayed));
        context.shared.fastpath.open_flow_port(relayed);
        self.ports
            .insert(relayed, RelayPort::new(allocation, socket, task));
        Ok(relayed)
    }

    fn close(&mut self, context: &mut Context<'_>, relayed: SocketAddr) {
        if self.ports.remove(&relayed).is_some() {
            context.shared.fastpath.close_port(relayed);
        }
    }

    /// What userspace relayed of a channel, or (no peer) of an allocation outside its channels.
    pub fn traffic(&self, relayed: SocketAddr, peer: Option<SocketAddr>) -> relay_port::Share {
        self.ports
            .get(&relayed)
            .map(|port| port.share(peer))
            .unwrap_or_default()
    }
}

fn bind(
    context: &Context<'_>,
    family: Family,
    contacted: std::net::IpAddr,
    wish: PortWish,
) -> Result<Bound, BindFault> {
    let (pool, now) = (&context.shared.pool, context.now.mono);
    let address = context
        .shared
        .addresses
        .for_allocation(family, contacted)
        .ok_or(BindFault::FamilyUnavailable);
    let bound = match wish {
        PortWish::Any => pool.bind(address?),
        PortWish::Even => pool.bind_even(address?),
        PortWish::EvenWithNext(token) => pool.bind_pair(address?, token, now),
        PortWish::Reserved(token) => pool.take_reserved(token, now),
    };
    bound.map_err(|fault| {
        tracing::debug!(%fault, "no relay port for an allocation");
        match fault {
            PortFault::Exhausted { .. } => BindFault::PortsExhausted,
            PortFault::Bind { .. } => BindFault::Refused,
            PortFault::UnknownToken => BindFault::UnknownReservation,
        }
    })
}

/// The listening socket a client talks to, and the way back from the address it contacted.
fn route_to_client(listeners: &[Rc<Socket>], to: turn::FiveTuple) -> Option<(&Rc<Socket>, Route)> {
    let wildcard = |local: SocketAddr| {
        local.ip().is_unspecified()
            && local.port() == to.server.port()
            && local.is_ipv4() == to.server.is_ipv4()
    };
    let exact = listeners.iter().find(|socket| socket.local() == to.server);
    let socket = exact.or_else(|| listeners.iter().find(|socket| wildcard(socket.local())))?;
    let from = socket.local().ip().is_unspecified().then(|| to.server.ip());
    Some((
        socket,
        Route {
            to: to.client,
            from,
            marks: Marks::default(),
            dont_fragment: false,
        },
    ))
}
