//! A TURN server without sockets, in virtual time: its clients, its peers, and their first words.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use relay_userspace::advertise::Advertise;
use relay_userspace::config::{Auth, Limits, Peers, Shield, User};
use relay_userspace::credentials::Credentials;
use relay_userspace::policy::PeerPolicy;
use relay_userspace::secret::Secret;
use relay_userspace::turn::{
    Command, Family, FiveTuple, Now, RelayFamilies, Server, ServerConfig, Shared, Transport,
};
use stun_types::message::Method;
use stun_types::prelude::*;
use turn_types::attribute::{ChannelNumber, RequestedTransport, XorPeerAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION};

use super::message::{self, MALLORY, REALM, USER};

/// The third is forbidden to everybody.
pub const PEERS: [&str; 5] = [
    "8.8.8.8:1",
    "8.8.8.8:2",
    "9.9.9.9:1",
    "10.0.0.1:1",
    "[2a00::9]:1",
];
/// Of the call's second peer.
pub const CHANNEL: u16 = 0x4321;
const RELAY: [&str; 2] = ["5.6.7.8", "2a00::5678"];

pub struct Stage {
    pub server: Server,
    pub policy: Arc<PeerPolicy>,
    pub now: Now,
    /// Of the call.
    pub relayed: SocketAddr,
    transaction: u128,
    next_port: u16,
}

pub fn peer(index: usize) -> SocketAddr {
    PEERS[index % PEERS.len()].parse().expect("an address")
}

pub fn client(index: usize) -> FiveTuple {
    FiveTuple {
        client: SocketAddr::new([192, 0, 2, 1].into(), 1000 + index as u16),
        server: SocketAddr::new([5, 6, 7, 8].into(), 3478),
        transport: Transport::Udp,
    }
}

pub const LIMITS: Limits = Limits {
    allocations: 3,
    allocations_per_user: 3,
    permissions_per_allocation: 3,
    channels_per_allocation: 3,
    max_lifetime: Duration::from_secs(3600),
    permissions_per_user: None,
    channels_per_user: None,
    permissions: None,
    channels: None,
    unauthenticated_per_second: 1_000_000,
};

impl Stage {
    pub fn new() -> Self {
        let policy = PeerPolicy::new(&Peers::default())
            .with_listeners([client(0).server])
            .with_relayed(RELAY.map(ip), |relayed| relayed.port() >= 49_152);
        let policy = Arc::new(policy);
        let now = Now {
            mono: Instant::now(),
            unix: 1_700_000_000,
            into_second: Duration::ZERO,
        };
        Self {
            server: server(&policy, false),
            policy,
            now,
            relayed: SocketAddr::new(ip(RELAY[0]), 0),
            transaction: 1,
            next_port: 50_000,
        }
    }

    /// Of which allocations may move.
    pub fn mobile() -> Self {
        let mut stage = Self::new();
        stage.server = server(&stage.policy, true);
        stage
    }

    /// Client 0 has an allocation, may talk to peer 0, and has a channel to peer 2.
    pub fn with_a_call() -> Self {
        let mut stage = Self::new();
        stage.ask(0, ALLOCATE, &[&RequestedTransport::new(17)]);
        let Some(Command::BindRelay { allocation, .. }) = stage.server.next_command() else {
            panic!("no allocation");
        };
        stage.relayed = stage.free_address(Family::V4);
        let bound = Ok(stage.relayed);
        stage
            .server
            .relay_bound(stage.now, allocation, Family::V4, bound);
        stage.drain();
        let peer = stage.named(0);
        stage.ask(0, CREATE_PERMISSION, &[&peer]);
        stage.drain();
        let peer = stage.named(2);
        stage.ask(0, CHANNEL_BIND, &[&ChannelNumber::new(CHANNEL), &peer]);
        stage.drain();
        stage
    }

    pub fn drain(&mut self) {
        while self.server.next_command().is_some() {}
    }

    /// Another process of the same configuration: what the last one had in memory is gone.
    pub fn another_server(&self) -> Server {
        server(&self.policy, false)
    }

    pub fn free_address(&mut self, family: Family) -> SocketAddr {
        self.next_port += 1;
        SocketAddr::new(ip(RELAY[usize::from(family == Family::V6)]), self.next_port)
    }

    /// As an attribute of the next request.
    pub fn named(&self, index: usize) -> XorPeerAddress {
        XorPeerAddress::new(peer(index), (self.transaction + 2).into())
    }

    /// A signed request, under a nonce the client was just given.
    pub fn ask(&mut self, who: usize, method: Method, attributes: &[&dyn AttributeWrite]) {
        self.ask_as(USER, who, method, attributes);
    }

    /// The same of this user.
    pub fn ask_as(
        &mut self,
        user: (&str, &str),
        who: usize,
        method: Method,
        attributes: &[&dyn AttributeWrite],
    ) {
        let nonce = self.nonce(who);
        self.transaction += 1;
        let transaction = self.transaction;
        let signed = message::request(user, method, transaction, attributes, Some(&nonce));
        let Some(bytes) = signed else {
            return;
        };
        self.tell(who, &bytes);
    }

    pub fn tell(&mut self, who: usize, bytes: &[u8]) {
        let data = self.server.handle_client(self.now, client(who), bytes);
        assert!(data.is_none(), "a request is no data");
    }

    fn nonce(&mut self, who: usize) -> String {
        self.transaction += 1;
        let hello =
            message::request(USER, ALLOCATE, self.transaction, &[], None).expect("a request");
        // What falls due when it arrives is ordered first.
        let before: Vec<_> = std::iter::from_fn(|| self.server.next_command()).collect();
        assert!(before.is_empty(), "the driver is behind: {before:?}");
        self.server.handle_timeout(self.now);
        let due: Vec<_> = std::iter::from_fn(|| self.server.next_command()).collect();
        assert!(due.is_empty(), "nothing was left to fall due: {due:?}");
        self.tell(who, &hello);
        let Some(Command::Send { bytes, .. }) = self.server.next_command() else {
            panic!("no challenge");
        };
        let answer = message::parse(&bytes).expect("an answer");
        assert_eq!(answer.error, Some(401));
        answer.nonce.expect("a nonce")
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn of_user((name, password): (&str, &str)) -> User {
    User {
        name: name.to_owned(),
        password: Secret::new(password.to_owned()),
    }
}

fn server(policy: &Arc<PeerPolicy>, mobility: bool) -> Server {
    let auth = Auth {
        realm: REALM.to_owned(),
        secrets: Vec::new(),
        users: [USER, MALLORY].map(of_user).into(),
        ..Auth::default()
    };
    Server::new(ServerConfig {
        credentials: Arc::new(Credentials::new(&auth)),
        policy: Arc::clone(policy),
        shared: Shared::new(&LIMITS, &Shield::default(), [1; 32]),
        limits: LIMITS,
        strict_expiry: false,
        directory: None,
        relay_families: RelayFamilies { v4: true, v6: true },
        advertise: Advertise::default(),
        admission: Default::default(),
        alternates: Default::default(),
        behavior: None,
        mobility,
        ids_after: 0,
        nonce_key: [2; 32],
        seed: [3; 32],
        worker_index: 0,
        worker_count: 1,
    })
}
