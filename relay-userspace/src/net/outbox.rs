//! Datagrams on their way out, gathered per flow so that a run of equal sizes costs one system call.
//! Never waits: what the kernel does not take now is lost, as on any congested link, and counted.

use std::io;
use std::rc::Rc;
use std::time::Instant;

use super::socket::{Route, Socket};
use super::stats::{Stat, Stats};
use super::stream::connection::Connection;

/// Segments this small fit the smallest MTU IPv6 allows (1280 − 48), so segmenting is never refused for size.
const LARGEST_SEGMENT: usize = 1232;
/// Below the largest UDP payload of either family.
const LARGEST_RUN: usize = 60_000;
/// How many runs are tried for a datagram's flow: more flows than this interleaved are sent singly.
const LOOK_BACK: usize = 16;

/// Memory is reused: in the steady state nothing is allocated.
#[derive(Default)]
pub struct Outbox {
    runs: Vec<Run>,
    used: usize,
    /// Connections with something to write.
    streams: Vec<Rc<Connection>>,
}

struct Run {
    /// `None` once sent: a closed socket must not live on here.
    socket: Option<Rc<Socket>>,
    max_segments: usize,
    route: Route,
    segment: usize,
    /// No further datagram: a shorter one ended it, or it is full.
    closed: bool,
    bytes: Vec<u8>,
}

impl Run {
    fn is_of(&self, socket: &Rc<Socket>, route: &Route) -> bool {
        self.route == *route
            && self
                .socket
                .as_ref()
                .is_some_and(|own| Rc::ptr_eq(own, socket))
    }

    fn takes(&mut self, len: usize) -> bool {
        let full = self.bytes.len() + len > LARGEST_RUN
            || self.bytes.len() >= self.segment * self.max_segments;
        self.closed |= full || len > self.segment || len == 0 || self.segment > LARGEST_SEGMENT;
        !self.closed
    }
}

impl Outbox {
    /// Order is kept within a flow (socket and route), not between flows.
    pub fn push(&mut self, socket: &Rc<Socket>, route: Route, bytes: &[u8]) {
        let recent = self.used.saturating_sub(LOOK_BACK)..self.used;
        let same = self.runs[recent]
            .iter_mut()
            .rev()
            .find(|run| run.is_of(socket, &route));
        if let Some(run) = same
            && run.takes(bytes.len())
        {
            run.closed = bytes.len() < run.segment;
            run.bytes.extend_from_slice(bytes);
            return;
        }
        if self.used == self.runs.len() {
            self.runs.push(Run {
                socket: None,
                max_segments: 1,
                route,
                segment: 0,
                closed: true,
                bytes: Vec::new(),
            });
        }
        let run = &mut self.runs[self.used];
        run.socket = Some(Rc::clone(socket));
        run.max_segments = socket.max_segments();
        (run.route, run.segment, run.closed) = (route, bytes.len(), false);
        run.bytes.clear();
        run.bytes.extend_from_slice(bytes);
        self.used += 1;
    }

    /// What was queued for this connection leaves with the rest.
    pub fn schedule(&mut self, connection: &Rc<Connection>) {
        if connection.schedule() {
            self.streams.push(Rc::clone(connection));
        }
    }

    /// Sends everything. Errors are counted by kind and end nothing.
    pub fn flush(&mut self, stats: &Stats) {
        for run in &mut self.runs[..self.used] {
            if let Some(socket) = run.socket.take() {
                send_run(&socket, run, stats);
            }
        }
        self.used = 0;
        if !self.streams.is_empty() {
            let now = Instant::now();
            for connection in self.streams.drain(..) {
                connection.flush(now, stats);
            }
        }
    }
}

fn send_run(socket: &Socket, run: &Run, stats: &Stats) {
    if run.route.to.port() == 0 {
        return stats.add(Stat::SendInvalid, 1);
    }
    let Err(error) = socket.send(&run.route, &run.bytes, run.segment) else {
        return;
    };
    if run.bytes.len() <= run.segment && may_pass(&error, &run.route) {
        if let Err(error) = socket.send(&run.route, &run.bytes, run.segment) {
            stats.add(Stat::of_send_error(&error), 1);
        }
        return;
    }
    if run.bytes.len() <= run.segment || error.kind() == io::ErrorKind::WouldBlock {
        let lost = run.bytes.len().div_ceil(run.segment.max(1)).max(1);
        return stats.add(Stat::of_send_error(&error), lost as u64);
    }
    // The train failed as a whole, perhaps for a pending ICMP report about an earlier datagram: one by one.
    for bytes in run.bytes.chunks(run.segment) {
        if let Err(error) = socket.send(&run.route, bytes, bytes.len()) {
            stats.add(Stat::of_send_error(&error), 1);
        }
    }
}

/// Whether it may be about an earlier datagram: an ICMP error fails one call, whatever that call sends.
fn may_pass(error: &io::Error, route: &Route) -> bool {
    match error.raw_os_error() {
        Some(libc::EMSGSIZE) => !route.dont_fragment,
        Some(libc::EAGAIN | libc::EINVAL | libc::EPERM | libc::ENOBUFS) => false,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::marks::Marks;

    const HERE: (&str, u16) = ("127.0.0.1", 0);

    struct Fixture {
        outbox: Outbox,
        stats: Stats,
        socket: Rc<Socket>,
        receiver: std::net::UdpSocket,
    }

    impl Fixture {
        fn new() -> Fixture {
            let bind = || std::net::UdpSocket::bind(HERE).expect("a socket");
            Fixture {
                outbox: Outbox::default(),
                stats: Stats::default(),
                socket: Rc::new(Socket::new(bind()).expect("in a runtime")),
                receiver: bind(),
            }
        }

        fn route(&self) -> Route {
            let to = self.receiver.local_addr().expect("bound");
            Route {
                to,
                from: None,
                marks: Marks::default(),
                dont_fragment: false,
            }
        }

        fn push(&mut self, sizes: &[usize]) {
            let (socket, route) = (Rc::clone(&self.socket), self.route());
            sizes
                .iter()
                .for_each(|size| self.outbox.push(&socket, route, &vec![1; *size]));
        }

        /// Bytes of each run.
        fn runs(&self) -> Vec<usize> {
            self.outbox.runs[..self.outbox.used]
                .iter()
                .map(|run| run.bytes.len())
                .collect()
        }
    }

    #[tokio::test]
    async fn equal_sizes_are_one_run_which_a_shorter_one_ends() {
        let mut f = Fixture::new();
        f.push(&[100, 100, 40, 100, 100, 0, 100]);
        assert_eq!(f.runs(), [240, 200, 0, 100]);
        f.outbox.flush(&f.stats);
        assert!(f.runs().is_empty());
        let received = [100, 100, 40, 100, 100, 0, 100]
            .map(|_| f.receiver.recv(&mut [0; 200]).expect("received"));
        assert_eq!(received, [100, 100, 40, 100, 100, 0, 100]);
    }

    #[tokio::test]
    async fn interleaved_flows_are_gathered_and_other_marks_are_another_flow() {
        let mut f = Fixture::new();
        let (socket, plain) = (Rc::clone(&f.socket), f.route());
        let marked = Route {
            dont_fragment: true,
            ..plain
        };
        for _ in 0..3 {
            f.outbox.push(&socket, plain, &[0; 10]);
            f.outbox.push(&socket, marked, &[0; 10]);
        }
        assert_eq!(f.runs(), [30, 30]);
    }

    #[tokio::test]
    async fn a_run_stays_within_what_one_call_may_carry() {
        let mut f = Fixture::new();
        let most = f.socket.max_segments();
        f.push(&vec![20; most + 1]);
        assert_eq!(f.runs(), [20 * most, 20]);
    }

    #[tokio::test]
    async fn datagrams_too_large_to_segment_safely_go_singly() {
        let mut f = Fixture::new();
        f.push(&[LARGEST_SEGMENT + 1, LARGEST_SEGMENT + 1]);
        assert_eq!(f.runs(), [LARGEST_SEGMENT + 1, LARGEST_SEGMENT + 1]);
    }

    #[tokio::test]
    async fn a_refused_datagram_is_counted_and_the_next_one_leaves() {
        let mut f = Fixture::new();
        let socket = Rc::clone(&f.socket);
        let nowhere = Route {
            to: "127.0.0.1:0".parse().expect("address"),
            ..f.route()
        };
        f.outbox.push(&socket, nowhere, b"nobody");
        f.push(&[1]);
        f.outbox.flush(&f.stats);
        assert_eq!(f.stats.get(Stat::SendInvalid), 1);
        assert_eq!(f.receiver.recv(&mut [0; 10]).expect("received"), 1);
    }

    #[tokio::test]
    async fn a_sent_datagram_keeps_no_socket_alive() {
        let mut f = Fixture::new();
        f.push(&[1, 2]);
        f.outbox.flush(&f.stats);
        assert_eq!(Rc::strong_count(&f.socket), 1);
    }
}
