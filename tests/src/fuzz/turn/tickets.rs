//! Mobility tickets in anybody's hands, whole, changed, old or late: the allocation goes to its owner and nobody else.

use std::time::Duration;

use relay_userspace::turn::{Command, Family};
use stun_types::attribute::{AttributeType, RawAttribute};
use stun_types::message::Message;
use turn_types::attribute::{Lifetime, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};

use super::super::input::Input;
use super::message::{MALLORY, USER, parse};
use super::stage::{Stage, client};

const MOBILITY_TICKET: AttributeType = AttributeType::new(0x8030);
const LIFETIME: u64 = 600;

struct Play {
    stage: Stage,
    /// Every ticket issued, the earliest first, and when it expires.
    issued: Vec<(Vec<u8>, u64)>,
    /// The latest one presented.
    presented: usize,
    /// Where the allocation is, and until when.
    at: usize,
    ends: u64,
}

/// Five bytes and a changed ticket a step.
pub fn turn_tickets(input: &[u8]) {
    let mut input = Input(input);
    let mut play = Play::new();
    for _ in 0..16 {
        if input.is_empty() {
            return;
        }
        play.step(&mut input);
    }
}

impl Play {
    fn new() -> Self {
        let mut stage = Stage::mobile();
        let wish = RawAttribute::new(MOBILITY_TICKET, &[]);
        let udp = RequestedTransport::new(RequestedTransport::UDP);
        stage.ask(0, ALLOCATE, &[&udp, &wish]);
        let Some(Command::BindRelay { allocation, .. }) = stage.server.next_command() else {
            panic!("no allocation");
        };
        let bound = Ok(stage.free_address(Family::V4));
        stage
            .server
            .relay_bound(stage.now, allocation, Family::V4, bound);
        let Some(Command::Send { bytes, .. }) = stage.server.next_command() else {
            panic!("no answer");
        };
        let ends = stage.now.unix + LIFETIME;
        Self {
            issued: vec![(ticket(&bytes).expect("it was asked for"), ends)],
            presented: 0,
            at: 0,
            ends,
            stage,
        }
    }

    fn step(&mut self, input: &mut Input<'_>) {
        let wait = u64::from(input.byte());
        self.stage.now.mono += Duration::from_secs(wait);
        self.stage.now.unix += wait;
        self.stage.server.handle_timeout(self.stage.now);
        self.stage.drain();
        let (who, thief) = (input.below(4), input.below(4) == 0);
        let which = input.below(self.issued.len());
        let (genuine, expires) = self.issued[which].clone();
        let mut shown = genuine.clone();
        for _ in 0..input.below(4) {
            let (at, bits) = (input.below(shown.len().max(1)), input.byte());
            match bits {
                0 => shown.truncate(at),
                1 => shown.push(at as u8),
                _ => shown.iter_mut().skip(at).take(1).for_each(|b| *b ^= bits),
            }
        }
        let now = self.stage.now.unix;
        // Somebody who is there already only refreshes.
        let present = who == self.at;
        let owner = !thief && now < self.ends;
        let good = shown == genuine && which >= self.presented && now < expires;
        let user = if thief { MALLORY } else { USER };
        let attributes = RawAttribute::new(MOBILITY_TICKET, &shown);
        let lifetime = Lifetime::new(LIFETIME as u32);
        self.stage
            .ask_as(user, who, REFRESH, &[&lifetime, &attributes]);
        let mut answered = None;
        while let Some(command) = self.stage.server.next_command() {
            if let Command::Send { to, bytes } = command {
                assert_eq!(to, client(who), "somebody else is told");
                assert!(answered.replace(bytes).is_none(), "two answers");
            }
        }
        let bytes = answered.expect("a signed request is answered");
        let success = parse(&bytes).expect("STUN").success;
        assert_eq!(success, owner && (present || good), "{which} by {who}");
        let holder = self.stage.server.allocations().next();
        if !success {
            assert_eq!(holder.is_some(), now < self.ends);
            assert!(holder.is_none_or(|view| view.tuple == client(self.at)));
            return;
        }
        self.at = who;
        self.ends = now + LIFETIME;
        if !present {
            self.presented = which;
        }
        let next = ticket(&bytes).expect("a new one");
        assert!(
            self.issued.iter().all(|(old, _)| *old != next),
            "an old one"
        );
        self.issued.push((next, self.ends));
        assert!(holder.is_some_and(|view| view.tuple == client(who)));
    }
}

fn ticket(answer: &[u8]) -> Option<Vec<u8>> {
    let message = Message::from_bytes(answer).ok()?;
    let ticket = message.raw_attribute(MOBILITY_TICKET)?;
    Some(ticket.value.to_vec())
}
