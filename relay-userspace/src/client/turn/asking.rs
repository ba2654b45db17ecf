//! Requests that wait for an answer: sent again where a leg may lose them (RFC 8489 §6.2.1), given up in the end.

use std::time::{Duration, Instant};

use super::{Event, Turn};
use crate::client::request::Request;
use crate::mode::{Leg, Route};

const RETRANSMIT: Duration = Duration::from_millis(250);
/// In all, over UDP: 250, 500, 1000 and 2000 ms apart.
const TRANSMISSIONS: u32 = 4;
/// For an answer over a stream, and for one to a probe.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Debug)]
pub(super) struct Asked {
    pub purpose: Purpose,
    pub leg: Leg,
    pub request: Request,
    bytes: Vec<u8>,
    pub due: Instant,
    transmissions: u32,
    /// A challenge was answered already.
    pub challenged: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Sent behind so many datagrams of its leg.
    Probe {
        number: u64,
        behind: u64,
    },
    /// Have the allocation here.
    Hold(Route),
    Keep,
    Bind(u16),
    Release,
}

impl Turn {
    pub(super) fn ask(&mut self, now: Instant, leg: Leg, purpose: Purpose, request: Request) {
        self.ask_as(now, leg, purpose, request, false);
    }

    pub(super) fn ask_as(
        &mut self,
        now: Instant,
        leg: Leg,
        purpose: Purpose,
        request: Request,
        challenged: bool,
    ) {
        let encoded = match purpose {
            // Anyone may ask this, and a signature costs the server its work.
            Purpose::Probe { .. } => request.encode(&self.login.stranger()),
            _ => request.encode(&self.login),
        };
        let (bytes, transaction) = match encoded {
            Ok(encoded) => encoded,
            Err(error) => {
                let fault = format!("{}: {error}", request.method());
                return self.events.push_back(Event::Failed(leg, fault));
            }
        };
        self.out.push_back((leg, bytes.clone()));
        let once = leg == Leg::Tcp || matches!(purpose, Purpose::Probe { .. });
        let asked = Asked {
            purpose,
            leg,
            request,
            bytes,
            due: now + if once { PATIENCE } else { RETRANSMIT },
            transmissions: if once { TRANSMISSIONS } else { 1 },
            challenged,
        };
        self.asked.insert(transaction, asked);
    }

    /// Those that are due, once more or never again.
    pub(super) fn ask_again(&mut self, now: Instant) {
        let mut given_up = Vec::new();
        for (transaction, asked) in &mut self.asked {
            if asked.due > now {
                continue;
            }
            if asked.transmissions >= TRANSMISSIONS {
                given_up.push(*transaction);
                continue;
            }
            asked.due = now + RETRANSMIT * 2u32.pow(asked.transmissions);
            asked.transmissions += 1;
            self.out.push_back((asked.leg, asked.bytes.clone()));
        }
        for transaction in given_up {
            if let Some(asked) = self.asked.remove(&transaction) {
                self.give_up(&asked);
            }
        }
    }

    fn give_up(&mut self, asked: &Asked) {
        match asked.purpose {
            // Whoever asks counts them.
            Purpose::Probe { .. } | Purpose::Release => {}
            Purpose::Hold(_) | Purpose::Keep | Purpose::Bind(_) => {
                if let (Purpose::Hold(_), Some(held)) = (asked.purpose, &mut self.held) {
                    held.certain = false;
                }
                let fault = format!("no answer to {}", asked.request.method());
                self.events.push_back(Event::Failed(asked.leg, fault));
            }
        }
    }
}
