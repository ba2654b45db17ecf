//! One allocation over two legs (RFC 8656, RFC 8016), sans-IO: what is asked, what was granted, when to ask again.
//! Which leg carries is not decided here.

mod answers;
mod asking;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use stun_types::message::{Message, TransactionId};
use turn_types::channel::ChannelData;

use super::request::{Login, Refused};
use super::words;
use crate::mode::{Leg, Route};
use asking::{Asked, Purpose};

/// A channel lasts 600 s and its permission 300 (RFC 8656 §9, §12).
const RENEW_CHANNEL: Duration = Duration::from_secs(240);
const FIRST_CHANNEL: u16 = 0x4000;
const LAST_CHANNEL: u16 = 0x4FFF;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Heard(Leg),
    Answered {
        leg: Leg,
        probe: u64,
    },
    InUse(Route),
    Failed(Leg, String),
    /// The server will not serve this client by this leg.
    Refused(Leg, Refused),
    /// It wants this client to ask another one (RFC 8489 §10).
    Redirected(Leg, Refused),
    /// Where peers reach this client now. Told again when the server has forgotten the allocation.
    Relayed(SocketAddr),
    Bound(u16),
    /// The server refuses the peer of this channel.
    Unbound(u16, Refused),
    Data {
        channel: u16,
        data: Vec<u8>,
    },
}

/// Datagrams of the application.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub sent: u64,
    pub received: u64,
    /// Sent by the leg that was left last, since the last probe that was answered: at most so many did not arrive.
    pub unproven: u64,
}

#[derive(Debug)]
pub struct Turn {
    login: Login,
    ipv4: bool,
    asked: HashMap<TransactionId, Asked>,
    /// So many.
    questions: u64,
    held: Option<Held>,
    wanted: Option<Route>,
    channels: BTreeMap<u16, Channel>,
    out: VecDeque<(Leg, Vec<u8>)>,
    events: VecDeque<Event>,
    pub traffic: Traffic,
    /// Sent by each leg, and of those what had left before a probe that was answered.
    sent: [u64; 2],
    proven: [u64; 2],
}

/// What the server gave.
#[derive(Debug)]
struct Held {
    relayed: SocketAddr,
    ticket: Option<Vec<u8>>,
    /// Where it was last. Not `certain`: a move was asked for and not answered.
    leg: Leg,
    certain: bool,
    /// Where the server sees that leg; another one is the work of a NAT.
    mapped: Option<SocketAddr>,
    refresh_at: Instant,
}

#[derive(Debug)]
struct Channel {
    peer: SocketAddr,
    bound: bool,
    renew_at: Option<Instant>,
}

impl Turn {
    /// For a relayed address of IPv4, or else of IPv6.
    pub fn new(login: Login, ipv4: bool) -> Self {
        Self {
            login,
            ipv4,
            asked: HashMap::new(),
            questions: 0,
            held: None,
            wanted: None,
            channels: BTreeMap::new(),
            out: VecDeque::new(),
            events: VecDeque::new(),
            traffic: Traffic::default(),
            sent: [0; 2],
            proven: [0; 2],
        }
    }

    /// What to send, by which leg.
    pub fn next_message(&mut self) -> Option<(Leg, Vec<u8>)> {
        self.out.pop_front()
    }

    pub fn next_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    pub fn relayed(&self) -> Option<SocketAddr> {
        self.held.as_ref().map(|held| held.relayed)
    }

    pub fn peer(&self, channel: u16) -> Option<SocketAddr> {
        self.channels.get(&channel).map(|channel| channel.peer)
    }

    /// Whether anything answers, and how fast.
    pub fn probe(&mut self, now: Instant, leg: Leg, probe: u64, bytes: usize) {
        let behind = self.sent[leg as usize];
        let purpose = Purpose::Probe {
            number: probe,
            behind,
        };
        self.ask(now, leg, purpose, words::binding(bytes));
    }

    /// The allocation is to be where `route` needs it.
    pub fn carry(&mut self, now: Instant, route: Route) {
        self.wanted = Some(route);
        self.reach(now);
    }

    /// The number of a channel to `peer`, the same for the same peer; [`Event::Bound`] says when it can be used. `None`:
    /// there are no more numbers.
    pub fn open_channel(&mut self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let known = self.channels.iter().find(|(_, known)| known.peer == peer);
        if let Some((number, _)) = known {
            return Some(*number);
        }
        let mut free = FIRST_CHANNEL..=LAST_CHANNEL;
        let number = free.find(|number| !self.channels.contains_key(number))?;
        let channel = Channel {
            peer,
            bound: false,
            renew_at: Some(now),
        };
        self.channels.insert(number, channel);
        self.tick(now);
        Some(number)
    }

    /// False: the channel is not bound yet.
    pub fn send(&mut self, channel: u16, data: &[u8]) -> bool {
        let bound = self.channels.get(&channel).is_some_and(|known| known.bound);
        let Some(held) = self.held.as_ref().filter(|_| bound) else {
            return false;
        };
        let mut message = vec![0; 4 + data.len()];
        ChannelData::new(channel, data).write_into_unchecked(&mut message);
        self.sent[held.leg as usize] += 1;
        self.traffic.sent += 1;
        self.out.push_back((held.leg, message));
        true
    }

    /// Whatever came by `leg`.
    pub fn take(&mut self, now: Instant, leg: Leg, bytes: &[u8]) {
        if let Ok(data) = ChannelData::parse(bytes) {
            self.hear(leg);
            if self.channels.contains_key(&data.id()) {
                self.traffic.received += 1;
                self.events.push_back(Event::Data {
                    channel: data.id(),
                    data: data.data().to_vec(),
                });
            }
        } else if let Ok(message) = Message::from_bytes(bytes)
            && message.is_response()
        {
            self.take_answer(now, leg, &message, bytes);
        }
        self.reach(now);
    }

    /// Its socket is no more, with what was asked by it.
    pub fn close(&mut self, leg: Leg) {
        let asked = self.asked.values();
        let moving = asked
            .map(|asked| &asked.question)
            .filter(|asked| asked.leg == leg)
            .any(|asked| matches!(asked.purpose, Purpose::Hold(_)));
        self.asked.retain(|_, asked| asked.question.leg != leg);
        self.out.retain(|(of, _)| *of != leg);
        if let Some(held) = &mut self.held {
            held.certain &= !moving && held.leg != leg;
        }
    }

    /// Ends the allocation. Nobody waits for the answer.
    pub fn release(&mut self, now: Instant) {
        if let Some(held) = self.held.take() {
            self.ask(now, held.leg, Purpose::Release, words::refresh(0));
        }
    }

    pub fn due(&self) -> Option<Instant> {
        let asked = self.asked.values().map(|asked| asked.due);
        let Some(held) = &self.held else {
            return asked.min();
        };
        let channels = self
            .channels
            .values()
            .filter_map(|channel| channel.renew_at);
        asked.chain(channels).chain([held.refresh_at]).min()
    }

    /// At [`Self::due`].
    pub fn tick(&mut self, now: Instant) {
        self.ask_again(now);
        let Some(held) = &mut self.held else {
            return;
        };
        let leg = held.leg;
        if held.refresh_at <= now {
            // Until the answer says otherwise.
            held.refresh_at = now + RENEW_CHANNEL;
            self.ask(now, leg, Purpose::Keep, words::keep());
        }
        let due = |channel: &Channel| channel.renew_at.is_some_and(|at| at <= now);
        let due = self.channels.iter_mut().filter(|(_, channel)| due(channel));
        let mut renewed = Vec::new();
        for (number, channel) in due {
            channel.renew_at = Some(now + RENEW_CHANNEL);
            renewed.push((*number, channel.peer));
        }
        for (number, peer) in renewed {
            let request = words::channel_bind(number, peer);
            self.ask(now, leg, Purpose::Bind(number), request);
        }
    }

    fn hear(&mut self, leg: Leg) {
        self.events.push_back(Event::Heard(leg));
    }

    /// Asks for the allocation where it is wanted, unless it is there or has been asked for. One question at a time: of
    /// two nobody could say which the server heard last.
    fn reach(&mut self, now: Instant) {
        let holding = |asked: &Asked| matches!(asked.question.purpose, Purpose::Hold(_));
        let Some(route) = self.wanted.filter(|_| !self.asked.values().any(holding)) else {
            return;
        };
        let leg = match route {
            Route::Only(leg) => leg,
            Route::Both => Leg::Tcp,
        };
        let request = match &self.held {
            Some(held) if held.certain && held.leg == leg => {
                self.wanted = None;
                return self.events.push_back(Event::InUse(route));
            }
            Some(Held {
                ticket: Some(ticket),
                ..
            }) => words::come_over(ticket),
            // Without a ticket it stays where it was: another one.
            Some(_) | None => words::allocate_mobile(self.ipv4),
        };
        self.ask(now, leg, Purpose::Hold(route), request);
    }
}
