//! Binds an address once for every worker. Opens nothing else.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::net::socket::{bind_alone, bind_shared};

/// One socket a worker on the same address; port 0 becomes one port for all.
pub fn bind_for_workers(
    address: SocketAddr,
    workers: usize,
) -> io::Result<(SocketAddr, Vec<UdpSocket>)> {
    if address.port() != 0 {
        // With SO_REUSEPORT a second relay of the same user would quietly take half of the clients.
        drop(bind_alone(address)?);
    }
    let first = bind_shared(address)?;
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < workers {
        sockets.push(bind_shared(bound)?);
    }
    Ok((bound, sockets))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_socket_decides_the_port_of_all() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("address");
        let (bound, sockets) = bind_for_workers(any, 3).expect("bound");
        assert_eq!(sockets.len(), 3);
        assert!(
            sockets
                .iter()
                .all(|socket| socket.local_addr().expect("bound") == bound)
        );
    }

    #[test]
    fn a_second_relay_on_the_same_port_is_told() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("address");
        let (bound, _sockets) = bind_for_workers(any, 2).expect("bound");
        let error = bind_for_workers(bound, 2).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
