//! Binds an address once for every worker. Opens nothing else.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use crate::net::socket::{bind_alone, bind_shared, hear};

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
    Ok((first.local_addr()?, all_of(first, workers)?))
}

/// `first` and those beside it. They hear nothing before all are there.
fn all_of(first: UdpSocket, workers: usize) -> io::Result<Vec<UdpSocket>> {
    let bound = first.local_addr()?;
    let mut sockets = vec![first];
    while sockets.len() < workers {
        sockets.push(bind_shared(bound)?);
    }
    sockets.iter().try_for_each(hear)?;
    Ok(sockets)
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

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
    fn who_sends_before_all_sockets_are_there_is_heard_by_none_and_then_by_one() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("address");
        let clients: Vec<_> = (0..32)
            .map(|_| UdpSocket::bind(any).expect("a client"))
            .collect();
        let send = |to| {
            for client in &clients {
                client.send_to(b"hello", to).expect("sent");
            }
        };
        let first = bind_shared(any).expect("bound");
        let bound = first.local_addr().expect("bound");
        send(bound);
        let sockets = all_of(first, 4).expect("bound");
        send(bound);
        let mut heard_by: HashMap<SocketAddr, Vec<usize>> = HashMap::new();
        for (number, socket) in sockets.iter().enumerate() {
            socket.set_nonblocking(true).expect("nonblocking");
            while let Ok((_, client)) = socket.recv_from(&mut [0; 8]) {
                heard_by.entry(client).or_default().push(number);
            }
        }
        assert_eq!(heard_by.len(), clients.len());
        assert!(heard_by.values().all(|by| by.len() == 1), "{heard_by:?}");
        let used: HashSet<_> = heard_by.values().flatten().collect();
        assert!(used.len() > 1, "{heard_by:?}");
    }

    #[test]
    fn a_second_relay_on_the_same_port_is_told() {
        let any: SocketAddr = "127.0.0.1:0".parse().expect("address");
        let (bound, _sockets) = bind_for_workers(any, 2).expect("bound");
        let error = bind_for_workers(bound, 2).expect_err("taken");
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }
}
