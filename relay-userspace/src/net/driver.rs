//! Carries out what the TURN server orders: the only file that knows both the protocol and the kernel.
//! Decides nothing; orders are carried out strictly in order, so that a session is gone from the kernel before the
//! answer that says so leaves, and gone from the journal as well.

mod channels;
mod clients;
mod data;
pub mod former;
mod held;
mod ledger;
mod lookup;
pub mod moving;
mod opening;
mod relay_port;
mod stream;
mod survive;
mod tcp;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use clients::Clients;
use foldhash::quality::RandomState;
use former::FormerPaths;
use held::{Answer, Held};
use ledger::Ledger;
use relay_port::RelayPort;

use super::batch::Batch;
use super::socket::Socket;
use super::stats::Stat;
use super::worker::Context;
use crate::api;
use crate::events::Reason;
use crate::fastpath::SessionId;
use crate::turn::{AllocationId, Command, FiveTuple, Rules, Server, Transport};

pub struct Driver {
    server: Server,
    clients: Clients,
    ports: HashMap<SocketAddr, RelayPort, RandomState>,
    /// The relayed address and the peer of each channel.
    channels: HashMap<SessionId, (SocketAddr, SocketAddr)>,
    framed: Vec<u8>,
    /// Of the messages taken since the last conclusion.
    answers: Vec<Answer>,
    held: Held,
    tcp: tcp::TcpRelay,
    former_paths: FormerPaths,
    ledger: Ledger,
}

impl Driver {
    pub fn listeners(&self) -> &[Rc<Socket>] {
        self.clients.listeners()
    }

    pub fn new(server: Server, listeners: Vec<Rc<Socket>>) -> Driver {
        Driver {
            server,
            clients: Clients::new(listeners),
            ports: HashMap::default(),
            channels: HashMap::new(),
            framed: Vec::new(),
            answers: Vec::new(),
            held: Held::default(),
            tcp: tcp::TcpRelay::default(),
            former_paths: FormerPaths::default(),
            ledger: Ledger::default(),
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
            self.take_message(context, tuple, datagram.marks.onward(), datagram.bytes);
        }
        self.conclude(context);
    }

    pub fn handle_timeout(&mut self, context: &mut Context<'_>) {
        self.server.handle_timeout(context.now);
        self.carry_out(context);
        self.release_late(context);
    }

    pub fn adopt(&mut self, context: &mut Context<'_>, rules: Rules) {
        self.server.adopt(context.now, rules);
        self.carry_out(context);
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        let timeouts = [self.server.poll_timeout(), self.held.due()];
        timeouts.into_iter().flatten().min()
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
        let known = self.server.kill(allocation, Reason::Killed);
        self.carry_out(context);
        known
    }

    /// Ends every allocation, or every one of this user's. How many there were.
    pub fn kill_all(&mut self, context: &mut Context<'_>, of: Option<&str>, why: Reason) -> usize {
        let all = self.server.allocations();
        let all = all.filter(|view| of.is_none_or(|user| view.user == user));
        let all: Vec<_> = all.map(|view| view.id).collect();
        for id in &all {
            self.server.kill(*id, why);
        }
        self.carry_out(context);
        all.len()
    }

    fn carry_out(&mut self, context: &mut Context<'_>) {
        self.obey(context);
        self.conclude(context);
    }

    fn obey(&mut self, context: &mut Context<'_>) {
        self.introduce(context);
        while let Some(command) = self.server.next_command() {
            match command {
                Command::Send { to, bytes } => self.answers.push(Answer { to, bytes }),
                Command::BindRelay {
                    allocation,
                    family,
                    tcp,
                    local_hint,
                    port,
                } => self.bind_relay(context, allocation, family, tcp, local_hint, port),
                Command::FetchAllocation {
                    allocation,
                    serial,
                    home,
                    from,
                    request,
                } => {
                    let to = self.server.worker_index();
                    let fetch = moving::Fetch {
                        allocation,
                        serial,
                        from,
                        to,
                        request,
                    };
                    moving::fetch(context, home, fetch);
                }
                Command::LookUp {
                    name,
                    from,
                    request,
                } => self.look_up(context, name, from, request),
                Command::OpenPeerConnection {
                    connection,
                    relayed,
                    peer,
                } => self.open_peer(context, connection, relayed, peer),
                Command::ClosePeerConnection { connection } => self.close_peer(connection),
                Command::JoinConnections {
                    connection,
                    home,
                    username,
                    from,
                    origin,
                } => self.join(context, connection, home, username, from, origin),
                Command::ReleaseRelay { relayed, .. } => self.close(context, relayed),
                Command::CancelReservation { token } => {
                    context.shared.pool.cancel_reservation(token);
                }
                Command::InstallSession {
                    session,
                    allocation,
                    transport,
                    spec,
                } => self.channel_bound(context, session, allocation, transport, spec),
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
                Command::RemoveSession { session } => self.channel_gone(context, session),
            }
        }
    }

    /// Remembers what changed and answers: once a batch, so that all of it is one commit.
    fn conclude(&mut self, context: &mut Context<'_>) {
        let commit = self.remember(context);
        let answers = std::mem::take(&mut self.answers);
        self.answer(context, commit, answers);
        self.tell(context);
        context
            .stats
            .set(Stat::Allocations, self.server.allocation_count() as u64);
        context
            .stats
            .set(Stat::ChannelSessions, self.channels.len() as u64);
    }

    /// Before the answer that makes somebody known leaves.
    fn introduce(&mut self, context: &Context<'_>) {
        for acquaintance in self.server.take_acquaintances() {
            let crate::turn::Acquaintance {
                is_known,
                remote,
                relayed,
            } = acquaintance;
            if let Some(relayed) = relayed.filter(|_| is_known) {
                self.hear(context, relayed);
            }
            let local_port = relayed.map_or(0, |relayed| relayed.port());
            context
                .shared
                .fastpath
                .acquaint(remote, local_port, is_known);
        }
    }

    /// Datagrams for a channel, or (0) for none, that its client's connection was too slow for.
    pub fn dropped(&self, client: &FiveTuple, channel: u16) -> u64 {
        let connection = self.clients.connection(client);
        connection.map_or(0, |connection| connection.dropped_of(channel))
    }

    /// What userspace relayed of a channel, or (no peer) of an allocation outside its channels.
    pub fn traffic(&self, relayed: SocketAddr, peer: Option<SocketAddr>) -> relay_port::Share {
        self.ports
            .get(&relayed)
            .map(|port| port.share(peer))
            .unwrap_or_default()
    }
}
