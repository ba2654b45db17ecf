//! What names things: the moment, a client's 5-tuple, allocations, and the source of ids. No state of any of them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::fastpath::SessionId;

/// The moment an input arrived, handed in by the driver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    pub mono: Instant,
    /// Unix seconds: credentials and nonces outlive this process.
    pub unix: u64,
    /// What of the second is over.
    pub into_second: Duration,
}

impl Now {
    /// The moment Unix time reaches `seconds`; now, if it has.
    pub fn at(&self, seconds: u64) -> Instant {
        let ahead = Duration::from_secs(seconds.saturating_sub(self.unix));
        // A credential may name a moment no clock reaches.
        let ahead = ahead.saturating_sub(self.into_second).min(FAR);
        self.mono + ahead
    }
}

const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);

/// What carries a client's messages.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    #[default]
    Udp,
    Tcp,
    /// Over TCP.
    Tls,
}

impl Transport {
    /// A connection, whose end is the end of its allocation.
    pub fn is_stream(self) -> bool {
        self != Transport::Udp
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
        })
    }
}

/// A client as the server sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    pub client: SocketAddr,
    /// The concrete local address the client sent to, never a wildcard.
    pub server: SocketAddr,
    pub transport: Transport,
}

/// Unique in the process, never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocationId(pub u64);

/// Hands out ids of one worker: its index plus a multiple of the number of workers.
#[derive(Debug)]
pub(super) struct IdSource {
    next: u64,
    stride: u64,
}

impl IdSource {
    pub fn new(worker_index: usize, worker_count: usize) -> Self {
        let stride = worker_count.max(1) as u64;
        // Zero stays free: it means "no session" to whoever shares a table with us.
        Self {
            next: worker_index as u64 + stride,
            stride,
        }
    }

    /// None of what was given before, by whichever worker: allocations move.
    pub fn after(given: u64, worker_index: usize, worker_count: usize) -> Self {
        let mut source = Self::new(worker_index, worker_count);
        if given >= source.next {
            source.next += (given - source.next).next_multiple_of(source.stride) + source.stride;
        }
        source
    }

    pub fn allocation(&mut self) -> AllocationId {
        AllocationId(self.take())
    }

    pub fn session(&mut self) -> SessionId {
        SessionId(self.take())
    }

    /// `id` was given by an earlier process: not again.
    pub fn skip(&mut self, id: u64) {
        let home = self.next % self.stride;
        if id >= self.next && id % self.stride == home {
            self.next = id + self.stride;
        }
    }

    fn take(&mut self) -> u64 {
        let id = self.next;
        self.next += self.stride;
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_an_earlier_process_are_not_given_again() {
        for given in 0..20 {
            for index in 0..3 {
                let id = IdSource::after(given, index, 3).session().0;
                assert!(id > given && id % 3 == index as u64 && id <= given + 6);
            }
        }
    }

    #[test]
    fn workers_never_hand_out_the_same_id() {
        let mut workers: Vec<_> = (0..3).map(|i| IdSource::new(i, 3)).collect();
        let mut seen = std::collections::HashSet::new();
        for worker in &mut workers {
            for _ in 0..100 {
                assert!(seen.insert(worker.session().0));
                assert!(seen.insert(worker.allocation().0));
            }
        }
        assert!(!seen.contains(&0));
    }
}
