//! `TestServer`: a server, virtual time, and a driver that only writes down what it is ordered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stun_types::attribute::*;
use stun_types::message::*;
use turn_types::attribute::{ChannelNumber, Lifetime, RequestedTransport, XorPeerAddress};
use turn_types::message::*;

use crate::advertise::Advertise;
use crate::config::{Auth, Limits, Peers, User};
use crate::credentials::Credentials;
use crate::policy::PeerPolicy;
use crate::secret::Secret;
use crate::turn::*;

pub const UNIX: u64 = 1_700_000_000;
pub const REALM: &str = "relay.example";
pub const SECRETS: [&str; 2] = ["north", "south"];
pub const PEER: &str = "8.8.8.8:1000";
pub const OTHER: &str = "9.9.9.9:2000";

/// Where a client is and who it says it is.
#[derive(Debug, Clone)]
pub struct Client {
    pub tuple: FiveTuple,
    pub username: String,
    pub password: String,
}

pub fn client(port: u16, username: &str, password: &str) -> Client {
    Client {
        tuple: FiveTuple {
            client: SocketAddr::new("192.0.2.1".parse().unwrap(), port),
            server: addr("5.6.7.8:3478"),
            transport: Transport::Udp,
        },
        username: username.into(),
        password: password.into(),
    }
}

pub fn alice() -> Client {
    client(1000, "alice", "wonderland")
}

pub fn bob() -> Client {
    client(2000, "bob", "builder")
}

pub fn addr(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

pub struct TestServer {
    pub server: Server,
    pub start: Instant,
    pub now: Now,
    pub transaction: u128,
    next_port: u16,
    pub known: Vec<Client>,
}

pub fn limits() -> Limits {
    Limits {
        allocations: 5,
        allocations_per_user: 3,
        permissions_per_allocation: 4,
        channels_per_allocation: 3,
        max_lifetime: Duration::from_secs(3600),
        unauthenticated_per_second: 1_000_000,
        ..Limits::default()
    }
}

pub fn auth() -> Auth {
    let user = |name: &str, password: &str| User {
        name: name.into(),
        password: Secret::new(password.to_owned()),
    };
    Auth {
        realm: REALM.into(),
        secrets: SECRETS
            .iter()
            .map(|s| Secret::new((*s).to_owned()))
            .collect(),
        users: vec![user("alice", "wonderland"), user("bob", "builder")],
        ..Auth::default()
    }
}

impl TestServer {
    pub fn new() -> Self {
        Self::with(limits(), |_| {})
    }

    pub fn with(limits: Limits, change: impl FnOnce(&mut ServerConfig)) -> Self {
        let policy = PeerPolicy::new(&Peers::default())
            .with_listeners([addr("5.6.7.8:3478")])
            .with_relayed(["5.6.7.8".parse().unwrap()], |relayed| {
                relayed.port() >= 49_152
            });
        let mut config = ServerConfig {
            credentials: Arc::new(Credentials::new(&auth())),
            policy: Arc::new(policy),
            shared: Shared::new(&limits, &Default::default(), [1; 32]),
            limits,
            strict_expiry: false,
            directory: None,
            relay_families: RelayFamilies { v4: true, v6: true },
            advertise: Advertise::default(),
            admission: Default::default(),
            alternates: Default::default(),
            behavior: None,
            mobility: true,
            ids_after: 0,
            nonce_key: [2; 32],
            seed: [3; 32],
            worker_index: 0,
            worker_count: 1,
        };
        change(&mut config);
        let start = Instant::now();
        Self {
            server: Server::new(config),
            start,
            now: Now {
                mono: start,
                unix: UNIX,
                into_second: Duration::ZERO,
            },
            transaction: 1,
            next_port: 50_000,
            known: vec![alice(), bob()],
        }
    }

    /// Moves time and lets the server do what is due.
    pub fn advance(&mut self, seconds: u64) {
        self.elapse(seconds);
        self.server.handle_timeout(self.now);
    }

    /// Moves time without telling the server.
    pub fn elapse(&mut self, seconds: u64) {
        self.now.mono += Duration::from_secs(seconds);
        self.now.unix += seconds;
    }

    pub fn nonce(&self, client: &Client) -> String {
        self.server.nonces.issue(client.tuple.client, self.now.unix)
    }

    /// A signed request with a new transaction id.
    pub fn request(
        &mut self,
        client: &Client,
        method: Method,
        attributes: &[&dyn AttributeWrite],
    ) -> Vec<u8> {
        self.transaction += 1;
        self.signed(client, method, attributes)
    }

    /// A signed request of the present transaction.
    pub fn signed(
        &self,
        client: &Client,
        method: Method,
        attributes: &[&dyn AttributeWrite],
    ) -> Vec<u8> {
        let nonce = self.nonce(client);
        self.signed_with(client, method, attributes, &nonce, REALM)
    }

    pub fn signed_with(
        &self,
        client: &Client,
        method: Method,
        attributes: &[&dyn AttributeWrite],
        nonce: &str,
        realm: &str,
    ) -> Vec<u8> {
        let mut message = self.unsigned(MessageClass::Request, method, attributes);
        message
            .add_attribute(&Username::new(&client.username).unwrap())
            .unwrap();
        message.add_attribute(&Realm::new(realm).unwrap()).unwrap();
        message.add_attribute(&Nonce::new(nonce).unwrap()).unwrap();
        message
            .add_message_integrity_with_key(&key(client), IntegrityAlgorithm::Sha1)
            .unwrap();
        message.finish()
    }

    pub fn unsigned(
        &self,
        class: MessageClass,
        method: Method,
        attributes: &[&dyn AttributeWrite],
    ) -> MessageWriteVec {
        let kind = MessageType::from_class_method(class, method);
        let mut message = Message::builder(kind, self.transaction.into(), MessageWriteVec::new());
        for attribute in attributes {
            message.add_attribute(*attribute).unwrap();
        }
        message
    }

    pub fn receive(&mut self, client: &Client, bytes: &[u8]) {
        assert_eq!(
            self.server.handle_client(self.now, client.tuple, bytes),
            None
        );
    }

    /// Sends a signed request and expects exactly `expected` to be ordered.
    pub fn expect(
        &mut self,
        client: &Client,
        method: Method,
        attributes: &[&dyn AttributeWrite],
        expected: &[&str],
    ) {
        let request = self.request(client, method, attributes);
        self.receive(client, &request);
        self.assert_commands(expected);
    }

    pub fn peer(&self, peer: &str) -> XorPeerAddress {
        // The transaction id the next `request` will have.
        XorPeerAddress::new(addr(peer), (self.transaction + 1).into())
    }

    pub fn expect_permission(&mut self, client: &Client, peers: &[&str], expected: &[&str]) {
        let peers: Vec<_> = peers.iter().map(|peer| self.peer(peer)).collect();
        let attributes: Vec<_> = peers
            .iter()
            .map(|peer| peer as &dyn AttributeWrite)
            .collect();
        self.expect(client, CREATE_PERMISSION, &attributes, expected);
    }

    pub fn expect_bind(&mut self, client: &Client, number: u16, peer: &str, expected: &[&str]) {
        let peer = self.peer(peer);
        self.expect(
            client,
            CHANNEL_BIND,
            &[&ChannelNumber::new(number), &peer],
            expected,
        );
    }

    pub fn expect_refresh(&mut self, client: &Client, lifetime: u32, expected: &[&str]) {
        self.expect(client, REFRESH, &[&Lifetime::new(lifetime)], expected);
    }

    /// A whole Allocate; returns the relayed address.
    pub fn allocate(&mut self, client: &Client) -> SocketAddr {
        self.allocate_with(client, &[&RequestedTransport::new(17)])
    }

    pub fn allocate_with(
        &mut self,
        client: &Client,
        attributes: &[&dyn AttributeWrite],
    ) -> SocketAddr {
        let request = self.request(client, ALLOCATE, attributes);
        self.receive(client, &request);
        let relayed = self.bind();
        let Some(Command::Send { bytes, .. }) = self.server.next_command() else {
            panic!("no answer to Allocate");
        };
        assert!(
            Message::from_bytes(&bytes)
                .unwrap()
                .has_class(MessageClass::Success)
        );
        self.assert_commands(&[]);
        relayed
    }

    /// Answers the BindRelay that must be next.
    pub fn bind(&mut self) -> SocketAddr {
        let Some(Command::BindRelay {
            allocation, family, ..
        }) = self.server.next_command()
        else {
            panic!("no BindRelay");
        };
        let ip = match family {
            Family::V4 => "5.6.7.8",
            Family::V6 => "2a00::5678",
        };
        let relayed = SocketAddr::new(ip.parse().unwrap(), self.next_port);
        self.next_port += 1;
        self.server
            .relay_bound(self.now, allocation, family, Ok(relayed));
        relayed
    }

    /// Exactly these commands, in this order; see `told.rs` for how they are written.
    #[track_caller]
    pub fn assert_commands(&mut self, expected: &[&str]) {
        let mut told = Vec::new();
        while let Some(command) = self.server.next_command() {
            told.push(self.told(&command));
        }
        assert_eq!(told, expected);
    }

    pub fn know(&mut self, client: &Client) {
        self.known.push(client.clone());
    }
}

pub fn key(client: &Client) -> IntegrityKey {
    LongTermKeyCredentials::new(
        client.username.clone(),
        client.password.clone(),
        REALM.into(),
    )
    .make_key(IntegrityAlgorithm::Sha1)
}
