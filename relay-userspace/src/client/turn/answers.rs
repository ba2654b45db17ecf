//! What becomes of an answer. Errors are facts for whoever decides: nothing is tried twice here but a challenge.

use std::net::SocketAddr;
use std::time::Instant;

use stun_types::message::Message;

use super::asking::{Asked, Purpose, Question};
use super::{Event, Held, Turn};
use crate::client::request::{Answer, MessageError, Refused};
use crate::client::words;
use crate::mode::{Leg, Route};

/// The server knows no allocation of this 5-tuple, or one already (RFC 8656 §18.1).
const MISMATCH: u16 = 437;
/// Another server is to be asked (RFC 8489 §10).
const TRY_ALTERNATE: u16 = 300;
/// A ticket it cannot open, or not any more (RFC 8016 §3.2).
const BAD_REQUEST: u16 = 400;

impl Turn {
    pub(super) fn take_answer(
        &mut self,
        now: Instant,
        leg: Leg,
        message: &Message<'_>,
        bytes: &[u8],
    ) {
        let transaction = message.transaction_id();
        let ours = |asked: &&Asked| asked.question.leg == leg;
        let Some(asked) = self.asked.get(&transaction).filter(ours) else {
            return;
        };
        let is_probe = matches!(asked.question.purpose, Purpose::Probe { .. });
        let believed = match leg {
            _ if is_probe => true,
            Leg::Udp => asked.login.proves(message),
            Leg::Tcp => asked.login.accepts(message),
        };
        let answer = Answer::new(bytes.to_vec());
        let refused = answer.refused();
        if !believed {
            if let Ok(Some(refused)) = refused
                && refused.is_challenge()
            {
                self.hear(leg);
                self.doubt(now, transaction, message, refused);
            }
            return;
        }
        let Some(asked) = self.asked.remove(&transaction) else {
            return;
        };
        self.hear(leg);
        self.settle(&asked.question);
        if leg == Leg::Udp && !is_probe {
            self.login = asked.login.clone();
        }
        let taken = match refused {
            _ if is_probe => {
                self.take_probe(now, &asked.question, &answer);
                Ok(())
            }
            Ok(None) => self.take_success(now, &asked.question, &answer),
            Ok(Some(refused)) => self.take_refusal(now, asked, &refused, message),
            Err(error) => Err(error),
        };
        if let Err(error) = taken {
            self.events.push_back(Event::Failed(leg, error.to_string()));
        }
    }

    /// An error is an answer as well.
    fn take_probe(&mut self, now: Instant, asked: &Question, answer: &Answer) {
        let Purpose::Probe { number, behind } = asked.purpose else {
            return;
        };
        let leg = asked.leg;
        let proven = &mut self.proven[leg as usize];
        *proven = behind.max(*proven);
        let probe = number;
        self.events.push_back(Event::Answered { leg, probe });
        if let (Leg::Udp, Ok(mapped)) = (leg, words::mapped(answer)) {
            self.see(now, mapped);
        }
    }

    /// Behind another address than before the allocation is out of reach, until it has followed.
    fn see(&mut self, now: Instant, mapped: SocketAddr) {
        let Some(held) = &mut self.held else {
            return;
        };
        if held.leg != Leg::Udp || !held.certain {
            return;
        }
        let before = held.mapped.replace(mapped);
        if before.is_some_and(|before| before != mapped) {
            held.certain = false;
            self.wanted.get_or_insert(Route::Only(Leg::Udp));
            self.reach(now);
        }
    }

    fn take_success(
        &mut self,
        now: Instant,
        asked: &Question,
        answer: &Answer,
    ) -> Result<(), MessageError> {
        match asked.purpose {
            Purpose::Hold(_) => self.hold(now, asked.leg, answer)?,
            Purpose::Keep => {
                let renew = words::renew_after(answer)?;
                if let Some(held) = &mut self.held {
                    held.refresh_at = now + renew;
                    held.ticket = words::ticket(answer)?.or(held.ticket.take());
                }
            }
            Purpose::Bind(number) => {
                if let Some(channel) = self.channels.get_mut(&number)
                    && !std::mem::replace(&mut channel.bound, true)
                {
                    self.events.push_back(Event::Bound(number));
                }
            }
            Purpose::Probe { .. } | Purpose::Release => {}
        }
        Ok(())
    }

    fn hold(&mut self, now: Instant, leg: Leg, answer: &Answer) -> Result<(), MessageError> {
        let refresh_at = now + words::renew_after(answer)?;
        let ticket = words::ticket(answer)?;
        let relayed = words::relayed(answer).ok();
        match (&mut self.held, relayed) {
            (Some(held), None) => {
                if held.leg != leg {
                    let left = held.leg as usize;
                    self.traffic.unproven = self.sent[left] - self.proven[left];
                }
                held.ticket = ticket.or(held.ticket.take());
                held.leg = leg;
                held.certain = true;
                held.mapped = None;
                held.refresh_at = refresh_at;
            }
            (_, None) => return Err(MessageError::Without("XOR-RELAYED-ADDRESS")),
            (_, Some(relayed)) => {
                self.held = Some(Held {
                    relayed,
                    ticket,
                    leg,
                    certain: true,
                    mapped: None,
                    refresh_at,
                });
                for channel in self.channels.values_mut() {
                    channel.bound = false;
                    channel.renew_at = Some(now);
                }
                self.events.push_back(Event::Relayed(relayed));
                self.tick(now);
            }
        }
        Ok(())
    }

    fn take_refusal(
        &mut self,
        now: Instant,
        asked: Asked,
        refused: &Refused,
        message: &Message<'_>,
    ) -> Result<(), MessageError> {
        if refused.is_challenge() && !asked.challenged {
            self.login.challenge(message)?;
            self.ask_as(now, asked.question, self.login.clone(), true);
        } else {
            self.refuse(&asked.question, refused);
        }
        Ok(())
    }

    pub(super) fn refuse(&mut self, asked: &Question, refused: &Refused) {
        match asked.purpose {
            Purpose::Hold(_) | Purpose::Keep
                if self.held.is_some() && matches!(refused.code, MISMATCH | BAD_REQUEST) =>
            {
                // Forgotten: another one, by the leg that is wanted.
                self.held = None;
                self.wanted.get_or_insert(Route::Only(asked.leg));
            }
            Purpose::Hold(_) if self.held.is_none() && refused.code == TRY_ALTERNATE => {
                let event = Event::Redirected(asked.leg, refused.clone());
                self.events.push_back(event);
            }
            Purpose::Hold(_) if refused.code == MISMATCH => {
                let fault = refused.to_string();
                self.events.push_back(Event::Failed(asked.leg, fault));
            }
            Purpose::Hold(_) | Purpose::Keep => {
                let event = Event::Refused(asked.leg, refused.clone());
                self.events.push_back(event);
            }
            Purpose::Bind(number) => {
                if let Some(channel) = self.channels.get_mut(&number) {
                    channel.bound = false;
                    channel.renew_at = None;
                }
                let event = Event::Unbound(number, refused.clone());
                self.events.push_back(event);
            }
            Purpose::Probe { .. } | Purpose::Release => {}
        }
    }
}
