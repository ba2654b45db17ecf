//! Datagrams on their way out, gathered per flow so that a run of equal sizes costs one system call.
//! Never waits: what the kernel does not take now is lost, as on any congested link, and counted.

use std::io;
use std::rc::Rc;

use super::socket::{Route, Socket};
use super::stats::{Stat, Stats};

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

    /// Sends everything. Errors are counted by kind and end nothing.
    pub fn flush(&mut self, stats: &Stats) {
        for run in &mut self.runs[..self.used] {
            if let Some(socket) = run.socket.take() {
                send_run(&socket, run, stats);
            }
        }
        self.used = 0;
    }
}

fn send_run(socket: &Socket, run: &Run, stats: &Stats) {
    if run.route.to.port() == 0 {
        return stats.add(Stat::SendInvalid, 1);
    }
    let Err(error) = socket.send(&run.route, &run.bytes, run.segment) else {
        return;
    };
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
