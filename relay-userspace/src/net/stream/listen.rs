//! Listening TCP sockets, one a worker, and the accept loop. Knows nothing of what is spoken.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use super::serve;
use crate::net::worker::Worker;
use crate::stream::flight;

const BACKLOG: i32 = 1024;
/// What may wait unsent in the kernel: it cannot be dropped there, so it counts against the age of data. Less costs
/// wake-ups: 16 KiB is a millisecond at 131 Mbit/s.
const UNSENT: u32 = 16 << 10;
/// Sent and not acknowledged for so long: the client is gone, and NAT or firewall with it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);
/// When there are no more descriptors, others are closed soon.
const AFTER_A_FAULT: Duration = Duration::from_millis(50);

/// Binds an address of which every worker has a listener: the kernel spreads connections over them.
pub fn bind_shared(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    // Accepted sockets inherit all of these.
    socket.set_tcp_nodelay(true)?;
    socket.set_tcp_notsent_lowat(UNSENT)?;
    // With a size of its own it would let megabytes wait.
    socket.set_send_buffer_size(flight::INITIAL)?;
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Fails when somebody listens on this address, whoever it is.
pub fn is_free(address: SocketAddr) -> io::Result<()> {
    let socket = open(address)?;
    socket.bind(&address.into())?;
    socket.listen(1)
}

fn open(address: SocketAddr) -> io::Result<Socket> {
    let domain = Domain::for_address(address);
    let socket = Socket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // Connections of an earlier relay in TIME_WAIT keep nobody from listening.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Inside the worker's runtime.
pub fn adopt(listener: TcpListener) -> io::Result<tokio::net::TcpListener> {
    tokio::net::TcpListener::from_std(listener)
}

/// Takes connections until the worker ends.
pub fn spawn(worker: &Rc<Worker>, listener: tokio::net::TcpListener) {
    tokio::task::spawn_local(accept(Rc::clone(worker), listener));
}

async fn accept(worker: Rc<Worker>, listener: tokio::net::TcpListener) {
    loop {
        match listener.accept().await {
            Ok((tcp, from)) => {
                tokio::task::spawn_local(serve::connection(Rc::clone(&worker), tcp, from));
            }
            Err(error) => {
                tracing::debug!(%error, "accept a connection");
                tokio::time::sleep(AFTER_A_FAULT).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpStream;

    use socket2::SockRef;

    use super::*;

    #[test]
    fn accepted_connections_inherit_what_keeps_queues_short() {
        let listener = bind_shared("127.0.0.1:0".parse().unwrap()).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        listener.set_nonblocking(false).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        let socket = SockRef::from(&accepted);
        assert!(socket.tcp_nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT);
        assert_eq!(socket.send_buffer_size().unwrap(), 2 * flight::INITIAL);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
        assert!(socket.keepalive().unwrap());
    }

    #[test]
    fn a_port_somebody_listens_on_is_not_free() {
        let listener = bind_shared("127.0.0.1:0".parse().unwrap()).unwrap();
        let bound = listener.local_addr().unwrap();
        let error = is_free(bound).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        drop(listener);
        is_free(bound).unwrap();
    }
}
