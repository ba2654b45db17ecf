//! Local ports of `relay connect`: datagrams into the session and back, connections into tunnels of their own.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::plan::{Forward, Plan};
use super::token::Logins;
use crate::cli::exit::{Exit, Failure};
use crate::client::request::Login;
use crate::client::secure::SecureServer;
use crate::client::session::Session;
use crate::client::tunnel::{Tunnel, TunnelError};

const LONGEST: usize = 1 << 16;
/// Connections to all local ports: each has three sockets, and a process usually may have 1024. Later ones wait.
const AT_ONCE: usize = 256;
/// After a fault of the listening socket, such as too many open files.
const PAUSE: Duration = Duration::from_millis(100);

pub struct UdpPorts(Vec<Arc<UdpPort>>);

struct UdpPort {
    socket: UdpSocket,
    peer: SocketAddr,
    /// Who sent last gets what comes back.
    user: Mutex<Option<SocketAddr>>,
}

impl UdpPorts {
    pub async fn open(plan: &Plan) -> Result<Self, Failure> {
        let mut ports = Vec::new();
        for forward in plan.forwards.iter().filter(|forward| !forward.tcp) {
            let socket = UdpSocket::bind(forward.local).await;
            ports.push(Arc::new(UdpPort {
                socket: socket.map_err(|error| cannot_open(forward, &error))?,
                peer: forward.peer,
                user: Mutex::default(),
            }));
        }
        Ok(Self(ports))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        let address = |port: &Arc<UdpPort>| port.socket.local_addr().ok();
        self.0.iter().filter_map(address).collect()
    }

    pub fn peers(&self) -> impl Iterator<Item = SocketAddr> {
        self.0.iter().map(|port| port.peer)
    }

    /// What comes to the ports goes to `session`, until the answer is dropped.
    pub fn read_into(&self, session: &Session) -> JoinSet<()> {
        let mut readers = JoinSet::new();
        for port in &self.0 {
            readers.spawn(read(Arc::clone(port), session.clone()));
        }
        readers
    }

    /// Lost if nobody has sent yet, or the application does not keep up.
    pub fn deliver(&self, peer: SocketAddr, data: &[u8]) {
        let Some(port) = self.0.iter().find(|port| port.peer == peer) else {
            return;
        };
        let user = *port.user.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(user) = user {
            let _ = port.socket.try_send_to(data, user);
        }
    }
}

async fn read(port: Arc<UdpPort>, session: Session) {
    let mut buffer = vec![0; LONGEST];
    loop {
        // An error is that of a datagram sent before: its application is gone.
        if let Ok((length, from)) = port.socket.recv_from(&mut buffer).await {
            *port.user.lock().unwrap_or_else(PoisonError::into_inner) = Some(from);
            session.send(port.peer, buffer[..length].to_vec());
        }
    }
}

/// Closed when dropped, with the connections through them.
pub struct TcpPorts {
    addresses: Vec<SocketAddr>,
    _listeners: JoinSet<()>,
}

impl TcpPorts {
    pub async fn open(plan: &Plan) -> Result<Self, Failure> {
        let (mut addresses, mut listeners) = (Vec::new(), JoinSet::new());
        let places = Arc::new(Semaphore::new(AT_ONCE));
        for forward in plan.forwards.iter().filter(|forward| forward.tcp) {
            let listener = TcpListener::bind(forward.local).await;
            let listener = listener.map_err(|error| cannot_open(forward, &error))?;
            addresses.extend(listener.local_addr());
            let tunnels = Tunnels {
                server: plan.secure.clone(),
                logins: plan.logins.clone(),
                peer: forward.peer,
                places: Arc::clone(&places),
            };
            listeners.spawn(accept(listener, tunnels));
        }
        Ok(Self {
            addresses,
            _listeners: listeners,
        })
    }

    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.addresses.clone()
    }
}

/// Where the connections of one local port lead.
struct Tunnels {
    server: SecureServer,
    logins: Logins,
    peer: SocketAddr,
    places: Arc<Semaphore>,
}

async fn accept(listener: TcpListener, tunnels: Tunnels) {
    let peer = tunnels.peer;
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((connection, from)) => {
                let place = Arc::clone(&tunnels.places).acquire_owned().await;
                let (server, login) = (tunnels.server.clone(), tunnels.logins.now());
                connections.spawn(async move {
                    if let Err(error) = through(connection, &server, &login, peer).await {
                        tracing::warn!(%from, %peer, %error, "a connection through the relay");
                    }
                    drop(place);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept a local connection");
                tokio::time::sleep(PAUSE).await;
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn through(
    mut local: TcpStream,
    server: &SecureServer,
    login: &Login,
    peer: SocketAddr,
) -> Result<(), TunnelError> {
    local.set_nodelay(true)?;
    let tunnel = Tunnel::open(server, login, peer).await?;
    tunnel.join(&mut local).await.map(drop)
}

fn cannot_open(forward: &Forward, error: &io::Error) -> Failure {
    let protocol = if forward.tcp { "tcp" } else { "udp" };
    let local = forward.local;
    Failure::new(
        Exit::System,
        format!("open the local port {protocol}/{local}: {error}: choose another"),
    )
}

#[cfg(test)]
mod tests {
    use rustls::RootCertStore;

    use super::*;
    use crate::https::client_config;

    #[tokio::test]
    async fn a_connection_too_many_waits_until_another_ends() {
        let relay = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let local = listener.local_addr().unwrap();
        let places = Arc::new(Semaphore::new(2));
        let tunnels = Tunnels {
            server: SecureServer {
                address: relay.local_addr().unwrap(),
                name: "relay.test".try_into().unwrap(),
                tls: Arc::new(client_config(RootCertStore::empty()).unwrap()),
            },
            logins: Logins::fixed(Login::new("ann", "secret")),
            peer: "192.0.2.1:9".parse().unwrap(),
            places: Arc::clone(&places),
        };
        let accepting = tokio::spawn(accept(listener, tunnels));
        let mut applications = Vec::new();
        for _ in 0..3 {
            applications.push(TcpStream::connect(local).await.unwrap());
        }
        let both = [relay.accept().await.unwrap(), relay.accept().await.unwrap()];
        assert_eq!(places.available_permits(), 0);
        drop(both);
        relay.accept().await.unwrap();
        accepting.abort();
    }
}
