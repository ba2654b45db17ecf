//! One UDP socket with batched receiving and segmented sending. Knows no protocol and owns no queue.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use nix::sys::socket::sockopt;
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket as RawSocket, Type};
use tokio::io::Interest;

use super::batch::Batch;
use super::fragment::set_dont_fragment;
use super::icmp::queue::{self, Reports};
use super::marks::Marks;
use super::message::{self, Said};
use super::ports::{Bound, Lease};
use super::readable::Readable;

/// Holds a burst of 20 ms at 1.6 Gbit/s while the worker is elsewhere. A limit, not memory taken.
const LISTENER_BUFFER: usize = 4 << 20;
/// There are many relay sockets, and each carries few sessions.
const RELAY_BUFFER: usize = 1 << 20;

/// More datagrams than the smallest receive buffer holds. Who sends more than this while they are dropped has not won
/// anything: those came when they were to be heard.
const EARLY: usize = 16;

/// UDP_MAX_SEGMENTS of Linux before 6.9.
const MAX_SEGMENTS: usize = 64;

/// Takes nothing: a classic BPF program that returns 0 bytes of every packet.
const DEAF: [SockFilter; 1] = [SockFilter::new(0x06, 0, 0, 0)];

/// Binds an address of which every worker has a socket: the kernel keeps a client's 5-tuple on one of them, as long as
/// their number stays. So it hears nothing until [`hear`], when all are there.
pub fn bind_shared(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = open(address)?;
    socket.set_reuse_port(true)?;
    socket.attach_filter(&DEAF)?;
    socket.bind(&address.into())?;
    let socket = socket.into();
    set_buffers(&socket, LISTENER_BUFFER);
    Ok(socket)
}

pub fn hear(socket: &std::net::UdpSocket) -> io::Result<()> {
    SockRef::from(socket).detach_filter()
}

/// Binds an address nobody shares. It keeps a datagram or two of what comes until [`Socket::of_pool`] has it.
pub fn bind_alone(address: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let socket = open(address)?;
    socket.set_recv_buffer_size(0)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

fn open(address: SocketAddr) -> io::Result<RawSocket> {
    let socket = RawSocket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    Ok(socket)
}

/// Best effort: the forced variants need CAP_NET_ADMIN, the others are capped by net.core.*mem_max.
fn set_buffers(socket: &std::net::UdpSocket, size: usize) {
    if nix::sys::socket::setsockopt(socket, sockopt::RcvBufForce, &size).is_err() {
        let _ = SockRef::from(socket).set_recv_buffer_size(size);
    }
    if nix::sys::socket::setsockopt(socket, sockopt::SndBufForce, &size).is_err() {
        let _ = SockRef::from(socket).set_send_buffer_size(size);
    }
}

/// Drops what came so far to a socket that [`bind_alone`] made.
fn forget_early(socket: &std::net::UdpSocket) {
    let socket = SockRef::from(socket);
    let one = || socket.recv_with_flags(&mut [], libc::MSG_DONTWAIT).is_ok();
    (0..EARLY).take_while(|_| one()).for_each(drop);
}

/// Where a datagram goes and how it is marked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    pub to: SocketAddr,
    /// Address of ours it leaves from; `None` on a socket that is bound to one.
    pub from: Option<IpAddr>,
    pub marks: Marks,
    pub dont_fragment: bool,
}

/// Belongs to the worker whose runtime it was made on.
#[derive(Debug)]
pub struct Socket {
    io: Readable,
    /// Datagrams one call may carry; 1 once a card refused more.
    max_segments: Cell<usize>,
    local: SocketAddr,
    dont_fragment: Cell<bool>,
    /// Where the last datagram should have gone that did not fit and was not to be fragmented.
    too_big_for: Cell<Option<SocketAddr>>,
    /// Given back after the socket is closed: fields drop in order.
    lease: RefCell<Option<Lease>>,
}

impl Socket {
    /// Inside the worker's runtime.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Socket> {
        let local = socket.local_addr()?;
        Socket::with_lease(socket, local, None)
    }

    /// Inside the worker's runtime. The port is held until the socket is gone.
    pub fn of_pool(bound: Bound) -> io::Result<Socket> {
        set_buffers(&bound.socket, RELAY_BUFFER);
        Socket::with_lease(bound.socket, bound.address, Some(bound.lease))
    }

    /// The same, without what came while nobody was to hear it.
    pub fn fresh(bound: Bound) -> io::Result<Socket> {
        forget_early(&bound.socket);
        Socket::of_pool(bound)
    }

    /// The port for another worker; what is in its queue goes along. This one is to be dropped.
    pub fn hand_over(&self) -> io::Result<Bound> {
        let socket = self.io.as_fd().try_clone_to_owned()?.into();
        let lease = self.lease.take();
        let lease = lease.ok_or_else(|| io::Error::other("the port is not of the pool"))?;
        Ok(Bound {
            socket,
            address: self.local,
            lease,
        })
    }

    fn with_lease(
        socket: std::net::UdpSocket,
        local: SocketAddr,
        lease: Option<Lease>,
    ) -> io::Result<Socket> {
        let io = Readable::new(socket)?;
        message::enable(&io, local)?;
        set_dont_fragment(&io, local.is_ipv6(), false)?;
        queue::enable(&io, local.is_ipv6())?;
        Ok(Socket {
            io,
            max_segments: Cell::new(MAX_SEGMENTS),
            local,
            dont_fragment: Cell::new(false),
            too_big_for: Cell::new(None),
            lease: RefCell::new(lease),
        })
    }

    /// As bound: the address may be a wildcard.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Waits for datagrams or ICMP errors; true if there may be errors.
    pub async fn ready(&self) -> io::Result<bool> {
        self.io.ready().await
    }

    /// Takes a batch of ICMP errors. `WouldBlock`: there are no more.
    pub fn reports(&self, into: &mut Reports) -> io::Result<()> {
        let too_big_for = self.too_big_for.take();
        let fill = |socket: &_| into.fill(socket, too_big_for);
        let taken = self.io.try_io(Interest::ERROR, fill);
        // What they also left behind for the next call would fail it.
        let _ = self.io.take_error();
        taken
    }

    /// Fills the batch; true if there may be more. `WouldBlock` when nothing is there; any other error is a report about
    /// something sent earlier.
    pub fn receive(&self, batch: &mut Batch) -> io::Result<bool> {
        let mut filled = false;
        let received = self.io.try_io(Interest::READABLE, |socket| {
            batch.fill(|envelopes, buffers, metas| envelopes.receive(socket, buffers, metas))?;
            filled = true;
            // Room was left, so the queue was empty: what comes now is news, and asking again would tell nothing.
            batch
                .is_full()
                .then_some(())
                .ok_or(io::ErrorKind::WouldBlock.into())
        });
        match received {
            Err(error) if !filled => Err(error),
            received => Ok(received.is_ok()),
        }
    }

    /// Datagrams one call to `send` may carry.
    pub fn max_segments(&self) -> usize {
        self.max_segments.get()
    }

    /// Sends `bytes` as datagrams of `segment` bytes each (the last may be shorter), without waiting.
    pub fn send(&self, route: &Route, bytes: &[u8], segment: usize) -> io::Result<()> {
        if self.dont_fragment.get() != route.dont_fragment {
            set_dont_fragment(&self.io, self.local.is_ipv6(), route.dont_fragment)?;
            self.dont_fragment.set(route.dont_fragment);
        }
        let train = segment < bytes.len();
        let said = Said {
            from: route.from,
            marks: route.marks,
            segment: u16::try_from(segment).ok().filter(|_| train),
        };
        let sent = message::send(&self.io, route.to, &said, bytes);
        match sent.as_ref().err().and_then(io::Error::raw_os_error) {
            Some(libc::EMSGSIZE) => self.too_big_for.set(Some(route.to)),
            // What a card says that cannot segment.
            Some(libc::EIO | libc::EINVAL) if train => self.max_segments.set(1),
            _ => {}
        }
        sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::ports::PortPool;

    #[tokio::test]
    async fn what_came_before_a_port_is_heard_is_never_received_and_what_comes_then_is() {
        let pool = PortPool::new(1024..=65_535);
        let bound = pool.bind(std::net::Ipv4Addr::LOCALHOST.into()).unwrap();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        for _ in 0..1000 {
            peer.send_to(b"early", bound.address).unwrap();
        }
        let socket = Socket::fresh(bound).unwrap();
        let mut batch = Batch::default();
        peer.send_to(b"in time", socket.local()).unwrap();
        socket.ready().await.unwrap();
        socket.receive(&mut batch).unwrap();
        let received: Vec<_> = batch.datagrams().map(|one| one.bytes.to_vec()).collect();
        assert_eq!(received, [b"in time"]);
    }
}
