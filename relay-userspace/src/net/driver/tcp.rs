//! The sockets of TCP allocations: listeners on relayed addresses, connections to and from peers until a data connection
//! takes them. What happens to them is decided by the state machine.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

use super::Driver;
use crate::net::control::Request;
use crate::net::ports::{Lease, PortPool};
use crate::net::stats::Stat;
use crate::net::stream::connection::Joined;
use crate::net::stream::joined::{Moved, Peer};
use crate::net::worker::{Context, Worker};
use crate::police::Pass;
use crate::turn::{BindFault, ConnectionId, Family, FiveTuple, Pending, Unbindable};

/// Ports tried before there is none for both UDP and TCP.
const TRIES: usize = 16;
const BACKLOG: i32 = 64;
/// After a failed accept, which may be for want of files.
const BREATH: std::time::Duration = std::time::Duration::from_millis(100);

#[derive(Default)]
pub struct TcpRelay {
    ports: HashMap<SocketAddr, Port>,
    peers: HashMap<ConnectionId, Waiting>,
}

/// Fields in the order they must be dropped.
struct Port {
    accepting: Task,
    _lease: Lease,
}

struct Waiting {
    /// `None`: connecting, or taken.
    stream: Option<TcpStream>,
    _connecting: Option<Task>,
    ended: CancellationToken,
    moved: Arc<Moved>,
}

struct Task(AbortHandle);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

impl TcpRelay {
    pub fn open(
        &mut self,
        context: &Context<'_>,
        family: Family,
        contacted: IpAddr,
    ) -> Result<SocketAddr, BindFault> {
        let addresses = &context.shared.addresses;
        let address = addresses.for_allocation(family, contacted);
        let address = address.ok_or(BindFault::FamilyUnavailable)?;
        let (listener, lease) = listen(&context.shared.pool, address)?;
        let relayed = listener.local_addr().map_err(|_| BindFault::Refused)?;
        let accepting = accept(Rc::clone(context.worker), listener, relayed);
        let accepting = Task(tokio::task::spawn_local(accepting).abort_handle());
        let port = Port {
            accepting,
            _lease: lease,
        };
        self.ports.insert(relayed, port);
        Ok(relayed)
    }

    /// False: not one of TCP.
    pub fn close(&mut self, relayed: SocketAddr) -> bool {
        let closed = self.ports.remove(&relayed);
        closed.is_some_and(|port| {
            drop(port.accepting);
            true
        })
    }

    /// Bytes to the peer and to the client, while there were both.
    fn close_peer(&mut self, connection: ConnectionId) -> Option<[u64; 2]> {
        let closed = self.peers.remove(&connection)?;
        Some(closed.moved.bytes())
    }

    fn keep(&mut self, connection: ConnectionId, stream: TcpStream) {
        let waiting = Waiting {
            stream: Some(stream),
            _connecting: None,
            ended: CancellationToken::new(),
            moved: Arc::default(),
        };
        self.peers.insert(connection, waiting);
    }

    fn take(&mut self, connection: ConnectionId, pass: Pass) -> Option<Peer> {
        let waiting = self.peers.get_mut(&connection)?;
        let stream = waiting.stream.take()?.into_std().ok()?;
        let ended = waiting.ended.clone();
        let moved = Arc::clone(&waiting.moved);
        Some(Peer {
            stream,
            ended,
            moved,
            pass,
        })
    }
}

impl Driver {
    pub(super) fn open_peer(
        &mut self,
        context: &Context<'_>,
        connection: ConnectionId,
        relayed: SocketAddr,
        peer: SocketAddr,
    ) {
        let worker = Rc::clone(context.worker);
        let connecting = tokio::task::spawn_local(async move {
            let stream = connect(relayed, peer).await;
            worker.with_driver(|driver, context| {
                let connected = match stream {
                    Ok(stream) => {
                        driver.tcp.keep(connection, stream);
                        true
                    }
                    Err(error) => {
                        tracing::debug!(%relayed, %peer, %error, "connect to a peer");
                        driver.tcp.close_peer(connection);
                        false
                    }
                };
                let now = context.now;
                driver.server.peer_connected(now, connection, connected);
                driver.carry_out(context);
            });
        });
        let waiting = Waiting {
            stream: None,
            _connecting: Some(Task(connecting.abort_handle())),
            ended: CancellationToken::new(),
            moved: Arc::default(),
        };
        self.tcp.peers.insert(connection, waiting);
    }

    /// Asks the worker `home` for a peer connection, and answers the client when it has said.
    pub(super) fn join(
        &self,
        context: &Context<'_>,
        connection: ConnectionId,
        home: usize,
        username: String,
        from: FiveTuple,
        pending: Pending,
    ) {
        let (reply, answer) = oneshot::channel();
        if let Some(worker) = context.shared.worker(home) {
            // Nobody there: `answer` says so.
            let _ = worker.send(Request::TakePeer(connection, username, reply));
        }
        let worker = Rc::clone(context.worker);
        tokio::task::spawn_local(async move {
            let peer = answer.await.unwrap_or(Err(Unbindable::Unknown));
            worker.with_driver(|driver, context| {
                let joined = peer.as_ref().map(|_| connection).map_err(|why| *why);
                driver.server.connection_joined(from, &pending, joined);
                driver.carry_out(context);
                match (peer, driver.clients.connection(&from)) {
                    (Ok(peer), Some(client)) => client.join(Joined {
                        connection,
                        home,
                        peer,
                    }),
                    // The client went meanwhile: it may connect to this peer again.
                    (Ok(_), None) => {
                        if let Some(home) = context.shared.worker(home) {
                            let _ = home.send(Request::PeerGone(connection));
                        }
                    }
                    (Err(_), _) => {}
                }
            });
        });
    }

    pub(super) fn close_peer(&mut self, connection: ConnectionId) {
        if let Some(bytes) = self.tcp.close_peer(connection) {
            self.ledger.connection_closed(connection, bytes);
        }
    }

    pub fn take_peer(
        &mut self,
        context: &Context<'_>,
        connection: ConnectionId,
        username: &str,
    ) -> Result<Peer, Unbindable> {
        self.server.bind_connection(connection, username)?;
        let user = self.server.name_of(username);
        if let Some(allocation) = self.server.allocation_of(connection) {
            self.vouch(context, allocation, user);
        }
        let pass = context.shared.police.allocation(user, None);
        let taken = self.tcp.take(connection, pass);
        if taken.is_none() {
            self.server.peer_gone(connection);
        }
        self.tell(context);
        taken.ok_or(Unbindable::Unknown)
    }

    /// Its bytes have been moved, all there were or will be.
    pub fn peer_gone(&mut self, context: &Context<'_>, connection: ConnectionId) {
        self.close_peer(connection);
        self.server.peer_gone(connection);
        self.tell(context);
    }
}

async fn accept(worker: Rc<Worker>, listener: TcpListener, relayed: SocketAddr) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                worker.stats().add(Stat::of_receive_error(&error), 1);
                tokio::time::sleep(BREATH).await;
                continue;
            }
        };
        worker.with_driver(|driver, context| {
            let now = context.now;
            if let Some(connection) = driver.server.peer_arrived(now, relayed, peer) {
                driver.tcp.keep(connection, stream);
            }
            driver.carry_out(context);
        });
    }
}

/// A port of the pool that is free for TCP, too. The lease keeps it from UDP.
fn listen(pool: &Arc<PortPool>, address: IpAddr) -> Result<(TcpListener, Lease), BindFault> {
    for _ in 0..TRIES {
        let bound = pool.bind(address).map_err(|_| BindFault::PortsExhausted)?;
        if let Ok(listener) = bind(bound.address) {
            bound.lease.is_of_streams();
            return Ok((listener, bound.lease));
        }
    }
    Err(BindFault::PortsExhausted)
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    shareable(&socket)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

/// Connections to peers leave from the port that listens (RFC 6062 §5.2).
fn shareable(socket: &Socket) -> io::Result<()> {
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)
}

async fn connect(relayed: SocketAddr, peer: SocketAddr) -> io::Result<TcpStream> {
    let socket = match relayed {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(true)?;
    socket.bind(relayed)?;
    socket.connect(peer).await
}
