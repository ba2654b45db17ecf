//! Clients the relay knows, asking for more of what they have; and one it does not know.

use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde::Serialize;

use super::super::veth::subject::USER;
use super::super::veth::{Lab, OUTER, RELAY};
use super::streams::client;
use crate::client::TurnClient;

/// An address that never authenticates.
pub const NEWCOMER: &str = "10.72.0.77";
const CLIENTS: u16 = 10;
const FIRST_PORT: u16 = 19_000;
/// Between two requests.
const PAUSE: Duration = Duration::from_millis(20);

/// See the module.
pub struct Known {
    clients: Vec<TurnClient>,
    newcomer: UdpSocket,
    namespace: std::fs::File,
}

/// How requests of one kind fared.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Served {
    pub asked: u64,
    pub failed: u64,
    /// Requests that were sent again because the answer did not come in 250 ms.
    pub retransmitted: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    #[serde(skip)]
    took: Vec<f64>,
}

impl std::fmt::Display for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.asked - self.failed, self.asked)
    }
}

impl Known {
    pub fn open(lab: &Lab) -> Result<Self> {
        lab.outer.enter(|| {
            let newcomer = UdpSocket::bind((NEWCOMER, 0))?;
            newcomer.connect((RELAY, 3478))?;
            newcomer.set_read_timeout(Some(PAUSE))?;
            Ok(Self {
                clients: (0..CLIENTS)
                    .map(|i| client(FIRST_PORT + i))
                    .collect::<Result<_>>()?,
                newcomer,
                namespace: lab.outer.open()?,
            })
        })
    }

    /// Refreshes, allocates anew and, as a newcomer, asks for its address, in turn until it is `over`.
    pub fn ask(&mut self, over: &AtomicBool) -> Result<[Served; 3]> {
        crate::netns::enter_for_good(&self.namespace)?;
        let mut served = [Served::default(), Served::default(), Served::default()];
        let mut turn = 0;
        while !over.load(Ordering::Relaxed) {
            let count = self.clients.len();
            let client = &mut self.clients[turn % count];
            let before = client.requests_sent();
            served[0].note(|| client.refresh(600).is_ok());
            served[0].retransmitted += client.requests_sent() - before - 1;
            let mut again = 0;
            served[1].note(|| match allocate() {
                Ok(mut client) => {
                    again = client.requests_sent().saturating_sub(2);
                    client.refresh(0).is_ok()
                }
                Err(_) => false,
            });
            served[1].retransmitted += again;
            let newcomer = &self.newcomer;
            served[2].note(|| binding(newcomer, turn as u32));
            turn += 1;
            std::thread::sleep(PAUSE);
        }
        served.iter_mut().for_each(Served::sum_up);
        Ok(served)
    }
}

impl Served {
    fn note(&mut self, ask: impl FnOnce() -> bool) {
        let start = Instant::now();
        self.asked += 1;
        if ask() {
            self.took.push(start.elapsed().as_secs_f64() * 1000.0);
        } else {
            self.failed += 1;
        }
    }

    fn sum_up(&mut self) {
        self.took.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = self.took.len().checked_sub(1)?;
            self.took
                .get((last as f64 * share).round() as usize)
                .copied()
        };
        self.p50_ms = at(0.5).unwrap_or(f64::NAN);
        self.p99_ms = at(0.99).unwrap_or(f64::NAN);
    }
}

/// An allocation from a port that has none.
fn allocate() -> Result<TurnClient> {
    let socket = UdpSocket::bind((OUTER, 0))?;
    let server = SocketAddr::new(RELAY.parse()?, 3478);
    TurnClient::allocate(socket, server, USER.0, USER.1)
}

/// One Binding request, not repeated.
fn binding(socket: &UdpSocket, number: u32) -> bool {
    let mut request = vec![0x00, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    request.extend([0; 8]);
    request.extend(number.to_be_bytes());
    if socket.send(&request).is_err() {
        return false;
    }
    let mut buffer = [0; 512];
    while let Ok(length) = socket.recv(&mut buffer) {
        if length >= 20 && buffer[8..20] == request[8..20] {
            return true;
        }
    }
    false
}
