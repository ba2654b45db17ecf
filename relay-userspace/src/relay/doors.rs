//! The TCP and TLS listeners of every worker. Ports nobody asked for by name are tried; a failure is told, not fatal.

use std::io;
use std::net::{SocketAddr, TcpListener};

use super::error::{StartError, advice};
use crate::config;
use crate::net::stream::listen::{bind_shared, is_free};

#[derive(Default)]
pub struct Doors {
    pub tcp: Vec<SocketAddr>,
    pub tls: Vec<SocketAddr>,
    /// Each worker's.
    pub listeners: Vec<Vec<TcpListener>>,
    /// Default ports that could not be had, and why.
    pub closed: Vec<String>,
}

impl Doors {
    pub fn open(listen: &config::Listen, workers: usize) -> Result<Doors, StartError> {
        let default = config::Config::default().listen;
        let mut doors = Doors {
            listeners: (0..workers).map(|_| Vec::new()).collect(),
            ..Doors::default()
        };
        doors.tcp = doors.all("tcp", &listen.tcp, listen.tcp == default.tcp)?;
        doors.tls = doors.all("tls", &listen.tls, listen.tls == default.tls)?;
        Ok(doors)
    }

    fn all(
        &mut self,
        protocol: &'static str,
        wanted: &[SocketAddr],
        by_default: bool,
    ) -> Result<Vec<SocketAddr>, StartError> {
        let mut open = Vec::new();
        for &address in wanted {
            match self.one(address) {
                Ok(bound) => open.push(bound),
                // A host without IPv6 still relays IPv4.
                Err(source) if by_default && is_missing_family(&source) => {}
                Err(source) if by_default => {
                    let advice = advice(&source);
                    let text = format!("not listening on {protocol}/{address}: {source}{advice}");
                    self.closed.push(text);
                }
                Err(source) => {
                    return Err(StartError::Door {
                        protocol,
                        address,
                        source,
                    });
                }
            }
        }
        Ok(open)
    }

    fn one(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        if address.port() != 0 {
            // With SO_REUSEPORT a second relay of the same user would quietly take half of the clients.
            is_free(address)?;
        }
        let mut bound = address;
        let mut sockets = Vec::with_capacity(self.listeners.len());
        for _ in 0..self.listeners.len() {
            let socket = bind_shared(bound)?;
            bound = socket.local_addr()?;
            sockets.push(socket);
        }
        let workers = self.listeners.iter_mut().zip(sockets);
        workers.for_each(|(of_worker, socket)| of_worker.push(socket));
        Ok(bound)
    }
}

fn is_missing_family(source: &io::Error) -> bool {
    matches!(
        source.raw_os_error(),
        Some(libc::EAFNOSUPPORT | libc::EADDRNOTAVAIL)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(tcp: Vec<SocketAddr>) -> config::Listen {
        config::Listen {
            udp: Vec::new(),
            tcp,
            tls: Vec::new(),
            proxy_protocol_from: Vec::new(),
        }
    }

    #[test]
    fn every_worker_listens_on_the_one_port_and_no_second_relay_does() {
        let any = "127.0.0.1:0".parse().unwrap();
        let doors = Doors::open(&wish(vec![any]), 3).unwrap();
        assert!(doors.listeners.iter().all(|of_worker| of_worker.len() == 1));
        let Err(error) = Doors::open(&wish(doors.tcp.clone()), 1) else {
            panic!("two relays on {:?}", doors.tcp);
        };
        assert!(error.to_string().contains("ss -ltnp"), "{error}");
    }
}
