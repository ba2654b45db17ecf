//! The state machine's front: what comes in is told apart here, and what goes out is queued here. Decides nothing itself.

use std::collections::{BTreeSet, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::acquaintance::Acquaintance;
use super::answer::{self, Challenge, Reject};
use super::auth::{Unproven, User};
use super::channel;
use super::command::{Command, ToPeer};
use super::config::ServerConfig;
use super::counters::{Counter, Counters};
use super::farewell::Farewells;
use super::hash::Keyed;
use super::identity::{AllocationId, FiveTuple, IdSource, Now};
use super::lookup::Waiting;
use super::message::{self, Origin};
use super::nonce::Nonces;
use super::refusals::Refusals;
use super::table::Table;
use super::tcp::PeerConnections;
use super::ticket::Tickets;
use super::timer::Timers;
use super::token::Tokens;
use super::view::{AllocationView, RefusalView};
use crate::events::Fact;
use crate::police::Limit;

use stun_types::message::{BINDING, Message, MessageClass};
use turn_types::message::{
    ALLOCATE, CHANNEL_BIND, CONNECT, CONNECTION_BIND, CREATE_PERMISSION, REFRESH, SEND,
};

#[derive(Debug)]
pub struct Server {
    pub(super) config: ServerConfig,
    pub(super) hash: Keyed,
    pub(super) nonces: Nonces,
    pub(super) tokens: Tokens,
    pub(super) tickets: Tickets,
    pub(super) ids: IdSource,
    pub(super) table: Table,
    pub(super) timers: Timers,
    pub(super) farewells: Farewells,
    pub(super) refusals: Refusals,
    pub(super) counters: Counters,
    pub(super) commands: VecDeque<Command>,
    /// Differ from what was saved of them.
    pub(super) changed: BTreeSet<AllocationId>,
    pub(super) acquaintances: Vec<Acquaintance>,
    pub(super) facts: Vec<Fact>,
    /// Not while a request is executed again after a fetch.
    pub(super) may_fetch: bool,
    pub(super) connections: PeerConnections,
    pub(super) waiting: Waiting,
    /// Not while a request is executed again after a lookup.
    pub(super) may_look_up: bool,
}

impl Server {
    pub fn new(config: ServerConfig) -> Self {
        let hash = Keyed::new(&config.seed);
        Self {
            hash,
            nonces: Nonces::new(
                config.nonce_key,
                config.credentials.knows_all_names() && config.directory.is_none(),
            ),
            tickets: Tickets::new(&config.nonce_key),
            tokens: Tokens::new(config.seed, config.worker_index),
            ids: IdSource::after(config.ids_after, config.worker_index, config.worker_count),
            table: Table::new(hash),
            timers: Timers::default(),
            farewells: Farewells::new(hash),
            refusals: Refusals::default(),
            counters: Counters::default(),
            commands: VecDeque::new(),
            changed: BTreeSet::new(),
            acquaintances: Vec::new(),
            facts: Vec::new(),
            may_fetch: true,
            connections: PeerConnections::default(),
            waiting: Waiting::default(),
            may_look_up: true,
            config,
        }
    }

    /// One datagram from a client. Data to relay is returned by reference; everything else becomes commands.
    pub fn handle_client<'p>(
        &mut self,
        now: Now,
        from: FiveTuple,
        payload: &'p [u8],
    ) -> Option<ToPeer<'p>> {
        // RFC 7983: the first byte tells STUN and ChannelData apart.
        match payload.first() {
            Some(first) if channel::FIRST_BYTES.contains(first) => {
                self.channel_data(now.mono, from, payload)
            }
            Some(0x00..=0x3F) => self.stun(now, from, payload),
            _ => {
                self.counters.bump(Counter::NotStun);
                None
            }
        }
    }

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// Allocations that have their relayed address, in no order.
    pub fn allocations(&self) -> impl Iterator<Item = AllocationView> + '_ {
        self.table
            .iter()
            .filter_map(|(_, allocation)| allocation.view())
    }

    /// Those whose relayed address is still being bound as well.
    pub fn allocation_count(&self) -> usize {
        self.table.len()
    }

    /// Whether this client has an allocation.
    pub fn serves(&self, client: &FiveTuple) -> bool {
        self.table.of_client(client).is_some()
    }

    pub fn allocation(&self, id: AllocationId) -> Option<AllocationView> {
        self.table[self.table.of_id(id)?].view()
    }

    /// Who `username` is: without its expiry.
    pub fn name_of<'a>(&self, username: &'a str) -> &'a str {
        self.config.credentials.name_of(username)
    }

    /// Whose allocation it is: the username without its expiry.
    pub fn user_of(&self, id: AllocationId) -> Option<&str> {
        Some(self.table[self.table.of_id(id)?].place.user())
    }

    /// Where its client is now, and which of our addresses it sends to.
    pub fn client_of(&self, id: AllocationId) -> Option<FiveTuple> {
        Some(self.table[self.table.of_id(id)?].tuple)
    }

    /// The group of shared secrets that vouches for it.
    pub fn group_of(&self, id: AllocationId) -> Option<&Arc<str>> {
        self.table[self.table.of_id(id)?].grantor.group()
    }

    /// What its user may have, as `auth.hook` says.
    pub fn granted_to(&self, id: AllocationId) -> Limit {
        let slot = self.table.of_id(id);
        slot.map_or(Limit::NONE, |slot| self.table[slot].limit)
    }

    /// The last peers refused, oldest first.
    pub fn refusals(&self) -> impl Iterator<Item = &RefusalView> + '_ {
        self.refusals.iter()
    }

    /// Which of the workers it is.
    pub fn worker_index(&self) -> usize {
        self.config.worker_index
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    fn stun<'p>(&mut self, now: Now, from: FiveTuple, payload: &'p [u8]) -> Option<ToPeer<'p>> {
        let Some(message) = message::parse(payload) else {
            self.counters.bump(Counter::MalformedStun);
            return None;
        };
        match (message.class(), message.method()) {
            (MessageClass::Indication, SEND) => {
                return self.send_indication(now, from, &message, payload);
            }
            (MessageClass::Request, BINDING) => self.binding(now, from, &message),
            (
                MessageClass::Request,
                ALLOCATE | REFRESH | CREATE_PERMISSION | CHANNEL_BIND | CONNECT | CONNECTION_BIND,
            ) => {
                self.handle_timeout(now);
                self.request(now, from, &message);
            }
            _ => self.counters.bump(Counter::UnexpectedStun),
        }
        None
    }

    fn request(&mut self, now: Now, from: FiveTuple, message: &Message<'_>) {
        let origin = Origin::of(message);
        let user = match self.authenticate(now, from, message) {
            Ok(user) => user,
            Err(Unproven::Rejected(reject)) => {
                return self.reject_stranger(now, from, origin, &reject);
            }
            Err(Unproven::Waiting(name)) => return self.wait(from, message, name),
            Err(Unproven::Unheard) => return self.counters.bump(Counter::FloodDropped),
        };
        let key = user.key.clone();
        match self.execute(now, from, message, user) {
            Ok(Some(success)) => {
                self.note_change(from);
                self.send(from, answer::success(origin, &success, Some(&key)));
            }
            // Answered when the driver has bound the relayed address.
            Ok(None) => {}
            Err(reject) => {
                self.counters.bump(reject.counter());
                self.send(from, answer::error(origin, &reject, &key));
            }
        }
    }

    fn execute(
        &mut self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
        user: User,
    ) -> Result<Option<answer::Success>, Reject> {
        message::comprehend(message)?;
        match message.method() {
            ALLOCATE => self.allocate(now, from, message, user),
            REFRESH => self.refresh(now, from, message, &user),
            CONNECT => self.connect(now, from, message, &user),
            CONNECTION_BIND => self.connection_bind(from, message, &user),
            CREATE_PERMISSION => self.create_permission(now, from, message, &user),
            _ => self.channel_bind(now, from, message, &user),
        }
    }

    /// Answers someone who proved nothing: rarely, and small.
    pub(super) fn reject_stranger(
        &mut self,
        now: Now,
        from: FiveTuple,
        origin: Origin,
        reject: &Reject,
    ) {
        if !self.admit_stranger(now, from) {
            return;
        }
        self.counters.bump(reject.counter());
        let nonce;
        let challenge = match reject {
            Reject::Unauthenticated | Reject::StaleNonce => {
                nonce = self.nonces.issue(from.client, now.unix);
                Some(Challenge {
                    realm: self.config.credentials.realm(),
                    nonce: &nonce,
                })
            }
            _ => None,
        };
        let bytes = answer::bare_error(origin, reject, challenge);
        self.send(from, bytes);
    }

    pub(super) fn admit_stranger(&mut self, now: Now, from: FiveTuple) -> bool {
        let has_allocation = self.table.of_client(&from).is_some();
        let shared = &self.config.shared;
        let admitted = shared.admit_unauthenticated(from.client, has_allocation, now.mono);
        if !admitted {
            self.counters.bump(Counter::FloodDropped);
        }
        admitted
    }

    fn note_change(&mut self, from: FiveTuple) {
        let changed = self.table.of_client(&from);
        self.changed.extend(changed.map(|slot| self.table[slot].id));
    }

    pub(super) fn send(&mut self, to: FiveTuple, bytes: Vec<u8>) {
        self.commands.push_back(Command::Send { to, bytes });
    }

    /// Remembers a refused peer for the operator.
    pub(super) fn note_refusal(
        &mut self,
        now: Now,
        client: SocketAddr,
        user: &str,
        refusal: &crate::policy::Refusal,
    ) {
        self.counters.bump_refusal(refusal.rule.to_string());
        self.refusals.push(now, client, user, refusal);
    }
}
