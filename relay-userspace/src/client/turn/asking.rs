//! Requests that wait for an answer: sent again where a leg may lose them (RFC 8489 §6.2.1), given up in the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stun_types::attribute::ErrorCode;
use stun_types::message::{Message, TransactionId};

use super::{Event, Turn};
use crate::client::request::{Login, Refused, Request};
use crate::mode::{Leg, Route};

const RETRANSMIT: Duration = Duration::from_millis(250);
/// In all, over UDP: 250, 500, 1000 and 2000 ms apart.
const TRANSMISSIONS: u32 = 4;
/// For an answer over a stream, and for one to a probe.
const PATIENCE: Duration = Duration::from_secs(5);
/// For the answer of a server that somebody was faster than: a way around the world and back.
const OVERTAKEN: Duration = Duration::from_millis(500);
/// One question is asked under so many at once.
const CHALLENGES: usize = 8;

/// What is asked: once, or several times under different challenges until one of them is answered.
#[derive(Debug, Clone)]
pub(super) struct Question {
    number: u64,
    pub purpose: Purpose,
    pub leg: Leg,
    request: Arc<Request>,
}

#[derive(Debug)]
pub(super) struct Asked {
    pub question: Question,
    /// As whom.
    pub login: Login,
    bytes: Vec<u8>,
    pub due: Instant,
    transmissions: u32,
    /// A challenge was answered already.
    pub challenged: bool,
    /// Of this login; by somebody, who may not be the server.
    unproven: Option<Refused>,
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
        self.questions += 1;
        let question = Question {
            number: self.questions,
            purpose,
            leg,
            request: Arc::new(request),
        };
        let login = match purpose {
            // Anyone may ask this, and a signature costs the server its work.
            Purpose::Probe { .. } => self.login.stranger(),
            _ => self.login.clone(),
        };
        self.ask_as(now, question, login, false);
    }

    pub(super) fn ask_as(
        &mut self,
        now: Instant,
        question: Question,
        login: Login,
        challenged: bool,
    ) {
        let Question { leg, purpose, .. } = question;
        let (bytes, transaction) = match question.request.encode(&login) {
            Ok(encoded) => encoded,
            Err(error) => {
                let fault = format!("{}: {error}", question.request.method());
                return self.events.push_back(Event::Failed(leg, fault));
            }
        };
        self.out.push_back((leg, bytes.clone()));
        let once = leg == Leg::Tcp || matches!(purpose, Purpose::Probe { .. });
        let asked = Asked {
            question,
            login,
            bytes,
            due: now + if once { PATIENCE } else { RETRANSMIT },
            transmissions: if once { TRANSMISSIONS } else { 1 },
            challenged,
            unproven: None,
        };
        self.asked.insert(transaction, asked);
    }

    /// A challenge that nobody signed, as no server can that does not know its user yet (RFC 8489 §9.2.4): whoever reads
    /// along may have been faster than the server. It is followed, and what was asked may be answered still.
    pub(super) fn doubt(
        &mut self,
        now: Instant,
        transaction: TransactionId,
        message: &Message<'_>,
        refused: Refused,
    ) {
        let Some(asked) = self.asked.get_mut(&transaction) else {
            return;
        };
        let Ok(login) = asked.login.challenged_by(message) else {
            return;
        };
        if asked.transmissions < TRANSMISSIONS {
            asked.transmissions = TRANSMISSIONS;
            asked.due = now + OVERTAKEN;
        }
        let wrong_password =
            refused.code == ErrorCode::UNAUTHORIZED && asked.login.is_in_realm_of(&login);
        if wrong_password || asked.login.is_as(&login) {
            asked.unproven = Some(refused);
            return;
        }
        let question = asked.question.clone();
        let same = |other: &&Asked| other.question.number == question.number;
        let tried = self.asked.values().filter(same);
        let known = tried.clone().any(|other| other.login.is_as(&login));
        if !known && tried.count() < CHALLENGES {
            self.ask_as(now, question, login, true);
        }
    }

    /// One was answered: nobody waits for the others.
    pub(super) fn settle(&mut self, question: &Question) {
        self.asked
            .retain(|_, other| other.question.number != question.number);
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
            let leg = asked.question.leg;
            self.out.push_back((leg, asked.bytes.clone()));
        }
        for transaction in given_up {
            if let Some(asked) = self.asked.remove(&transaction) {
                self.give_up(asked);
            }
        }
    }

    fn give_up(&mut self, asked: Asked) {
        let question = asked.question;
        let mut others = self.asked.values_mut();
        if let Some(other) = others.find(|other| other.question.number == question.number) {
            other.unproven = other.unproven.take().or(asked.unproven);
            return;
        }
        if let Some(refused) = asked.unproven {
            return self.refuse(&question, &refused);
        }
        match question.purpose {
            // Whoever asks counts them.
            Purpose::Probe { .. } | Purpose::Release => {}
            Purpose::Hold(_) | Purpose::Keep | Purpose::Bind(_) => {
                if let (Purpose::Hold(_), Some(held)) = (question.purpose, &mut self.held) {
                    held.certain = false;
                }
                let fault = format!("no answer to {}", question.request.method());
                self.events.push_back(Event::Failed(question.leg, fault));
            }
        }
    }
}
