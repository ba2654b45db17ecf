//! A small TURN client: long-term credentials, one request at a time, no timers.

use std::net::SocketAddr;

use stun_types::attribute::{AttributeType, ErrorCode, Nonce, RawAttribute, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageWrite,
    MessageWriteExt, MessageWriteVec, Method, TransactionId,
};
use turn_types::AddressFamily;
use turn_types::attribute::{
    ChannelNumber, ConnectionId, Data, EvenPort, Lifetime, RequestedAddressFamily,
    RequestedTransport, ReservationToken, XorPeerAddress, XorRelayedAddress,
};
use turn_types::message::{
    ALLOCATE, CHANNEL_BIND, CONNECT, CONNECTION_ATTEMPT, CONNECTION_BIND, CREATE_PERMISSION, DATA,
    REFRESH, SEND,
};

use crate::endpoint::Endpoint;
use crate::setup::{PASSWORD, USER};

const MOBILITY_TICKET: AttributeType = AttributeType::new(0x8030);

/// The code of an error response.
#[derive(Debug, PartialEq, Eq)]
pub struct Refused(pub u16);

/// What an Allocate success said.
#[derive(Debug, Clone, Copy)]
pub struct Allocated {
    pub relayed: SocketAddr,
    pub reservation: Option<u64>,
}

pub struct TurnClient {
    pub endpoint: Endpoint,
    server: SocketAddr,
    user: String,
    password: &'static str,
    realm: String,
    nonce: Option<String>,
}

impl TurnClient {
    pub async fn new(server: SocketAddr) -> TurnClient {
        TurnClient::with_password(server, PASSWORD).await
    }

    pub async fn with_password(server: SocketAddr, password: &'static str) -> TurnClient {
        TurnClient::of(server, USER, password).await
    }

    pub async fn of(server: SocketAddr, user: &'static str, password: &'static str) -> TurnClient {
        let endpoint = Endpoint::new().await;
        let (realm, nonce) = (String::new(), None);
        TurnClient {
            endpoint,
            server,
            user: user.to_owned(),
            password,
            realm,
            nonce,
        }
    }

    /// Over a connection.
    pub fn over(endpoint: Endpoint, server: SocketAddr) -> TurnClient {
        TurnClient {
            endpoint,
            server,
            user: USER.to_owned(),
            password: PASSWORD,
            realm: String::new(),
            nonce: None,
        }
    }

    /// From another local address than 127.0.0.1.
    pub async fn at(local: &str, server: SocketAddr) -> TurnClient {
        let endpoint = Endpoint::at(local).await;
        TurnClient {
            endpoint,
            ..TurnClient::new(server).await
        }
    }

    pub async fn allocate_v6(&mut self) -> Result<Allocated, Refused> {
        let family = RequestedAddressFamily::new(AddressFamily::IPV6);
        self.allocate_with(|message| add(message, &family)).await
    }

    pub async fn allocate(&mut self) -> Result<Allocated, Refused> {
        self.allocate_with(|_| {}).await
    }

    /// Asks under each of these names, which are told apart by nothing else, and waits for no answer.
    pub async fn ask_as(&mut self, names: impl Iterator<Item = String>) {
        self.refresh(0).await.expect_err("nothing to end");
        for name in names {
            self.user = name;
            let udp = RequestedTransport::new(RequestedTransport::UDP);
            let (request, _) = self.signed(ALLOCATE, &|message| add(message, &udp));
            self.endpoint.send(self.server, &request).await;
        }
    }

    /// An even port, and the next one kept under a token.
    pub async fn allocate_pair(&mut self) -> Result<Allocated, Refused> {
        self.allocate_with(|message| add(message, &EvenPort::new(true)))
            .await
    }

    pub async fn allocate_reserved(&mut self, token: u64) -> Result<Allocated, Refused> {
        self.allocate_with(|message| add(message, &ReservationToken::new(token)))
            .await
    }

    async fn allocate_with(
        &mut self,
        more: impl Fn(&mut MessageWriteVec),
    ) -> Result<Allocated, Refused> {
        let attributes = |message: &mut MessageWriteVec| {
            add(message, &RequestedTransport::new(RequestedTransport::UDP));
            more(message);
        };
        let answer = self.request(ALLOCATE, attributes).await?;
        let message = Message::from_bytes(&answer).expect("STUN");
        let relayed: XorRelayedAddress = message.attribute().expect("XOR-RELAYED-ADDRESS");
        let reservation: Option<ReservationToken> = message.attribute().ok();
        Ok(Allocated {
            relayed: relayed.addr(message.transaction_id()),
            reservation: reservation.map(|reservation| reservation.token()),
        })
    }

    /// For connections of peers (RFC 6062).
    pub async fn allocate_tcp(&mut self) -> Result<SocketAddr, Refused> {
        let tcp = RequestedTransport::new(6);
        let answer = self.request(ALLOCATE, |message| add(message, &tcp)).await?;
        let message = Message::from_bytes(&answer).expect("STUN");
        let relayed: XorRelayedAddress = message.attribute().expect("XOR-RELAYED-ADDRESS");
        Ok(relayed.addr(message.transaction_id()))
    }

    /// The peer connection to `peer`.
    pub async fn connect(&mut self, peer: SocketAddr) -> Result<u32, Refused> {
        let attributes = |message: &mut MessageWriteVec| add(message, &peer_address(message, peer));
        let answer = self.request(CONNECT, attributes).await?;
        let message = Message::from_bytes(&answer).expect("STUN");
        let connection: ConnectionId = message.attribute().expect("CONNECTION-ID");
        Ok(connection.id())
    }

    /// The connection a peer made.
    pub async fn attempt(&self) -> u32 {
        let bytes = self.receive().await;
        let message = Message::from_bytes(&bytes).expect("STUN");
        assert!(message.has_method(CONNECTION_ATTEMPT));
        let connection: ConnectionId = message.attribute().expect("CONNECTION-ID");
        connection.id()
    }

    /// Makes this one's connection the data connection of a peer connection.
    pub async fn join(&mut self, connection: u32) -> Result<(), Refused> {
        let connection = ConnectionId::new(connection);
        self.request(CONNECTION_BIND, |message| add(message, &connection))
            .await
            .map(drop)
    }

    /// Asks for two before either is answered; what became of each, in whichever order the answers come.
    pub async fn join_twice(&mut self, both: [u32; 2]) -> [Result<(), Refused>; 2] {
        self.refresh(0).await.expect_err("nothing to end");
        let asked = both.map(|connection| {
            let connection = ConnectionId::new(connection);
            self.signed(CONNECTION_BIND, &|message| add(message, &connection))
        });
        let at_once = [&asked[0].0[..], &asked[1].0].concat();
        self.endpoint.send(self.server, &at_once).await;
        let mut became = [Ok(()), Ok(())];
        for _ in both {
            let bytes = self.receive().await;
            let message = Message::from_bytes(&bytes).expect("STUN");
            let which = |(_, transaction): &(_, _)| *transaction == message.transaction_id();
            let which = asked
                .iter()
                .position(which)
                .expect("an answer to one of them");
            if let Ok(error) = message.attribute::<ErrorCode>() {
                became[which] = Err(Refused(error.code()));
            }
        }
        became
    }

    /// An allocation that may move, and the ticket for it.
    pub async fn allocate_mobile(&mut self) -> Result<(SocketAddr, Vec<u8>), Refused> {
        let attributes = |message: &mut MessageWriteVec| {
            add(message, &RequestedTransport::new(RequestedTransport::UDP));
            add(message, &RawAttribute::new(MOBILITY_TICKET, &[]));
        };
        let answer = self.request(ALLOCATE, attributes).await?;
        let message = Message::from_bytes(&answer).expect("STUN");
        let relayed: XorRelayedAddress = message.attribute().expect("XOR-RELAYED-ADDRESS");
        Ok((relayed.addr(message.transaction_id()), ticket(&message)))
    }

    /// Takes over the allocation of `ticket`; the next ticket.
    pub async fn come_over(&mut self, with: &[u8]) -> Result<Vec<u8>, Refused> {
        let attributes = |message: &mut MessageWriteVec| {
            add(message, &Lifetime::new(600));
            add(message, &RawAttribute::new(MOBILITY_TICKET, with));
        };
        let answer = self.request(REFRESH, attributes).await?;
        Ok(ticket(&Message::from_bytes(&answer).expect("STUN")))
    }

    pub async fn refresh(&mut self, seconds: u32) -> Result<(), Refused> {
        let lifetime = Lifetime::new(seconds);
        self.request(REFRESH, |message| add(message, &lifetime))
            .await
            .map(drop)
    }

    pub async fn permit(&mut self, peer: SocketAddr) -> Result<(), Refused> {
        let attributes = |message: &mut MessageWriteVec| add(message, &peer_address(message, peer));
        self.request(CREATE_PERMISSION, attributes).await.map(drop)
    }

    pub async fn bind(&mut self, channel: u16, peer: SocketAddr) -> Result<(), Refused> {
        let attributes = |message: &mut MessageWriteVec| {
            add(message, &ChannelNumber::new(channel));
            add(message, &peer_address(message, peer));
        };
        self.request(CHANNEL_BIND, attributes).await.map(drop)
    }

    /// By ChannelData.
    pub async fn send_channel(&self, channel: u16, data: &[u8]) {
        let mut framed = channel.to_be_bytes().to_vec();
        framed.extend((data.len() as u16).to_be_bytes());
        framed.extend(data);
        self.endpoint.send(self.server, &framed).await;
    }

    /// By Send indication.
    pub async fn send(&self, peer: SocketAddr, data: &[u8]) {
        let mut message = Message::builder_indication(SEND, MessageWriteVec::new());
        let peer = peer_address(&message, peer);
        add(&mut message, &peer);
        add(&mut message, &Data::new(data));
        self.endpoint.send(self.server, &message.finish()).await;
    }

    /// The next ChannelData.
    pub async fn receive_channel(&self) -> (u16, Vec<u8>) {
        let bytes = self.receive().await;
        let len = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        (
            u16::from_be_bytes([bytes[0], bytes[1]]),
            bytes[4..4 + len].to_vec(),
        )
    }

    /// The next Data indication.
    pub async fn receive_indication(&self) -> (SocketAddr, Vec<u8>) {
        let bytes = self.receive().await;
        let message = Message::from_bytes(&bytes).expect("STUN");
        assert!(message.has_class(MessageClass::Indication) && message.has_method(DATA));
        let peer: XorPeerAddress = message.attribute().expect("XOR-PEER-ADDRESS");
        let data: Data = message.attribute().expect("DATA");
        (peer.addr(message.transaction_id()), data.data().to_vec())
    }

    async fn receive(&self) -> Vec<u8> {
        let (bytes, from) = self.endpoint.receive().await;
        assert_eq!(from, self.server, "answers come from where we sent to");
        bytes
    }

    /// Asks, learns realm and nonce where it must, asks again.
    async fn request(
        &mut self,
        method: Method,
        attributes: impl Fn(&mut MessageWriteVec),
    ) -> Result<Vec<u8>, Refused> {
        for _ in 0..3 {
            let known = self.nonce.is_some();
            let answer = self.exchange(method, &attributes).await;
            let message = Message::from_bytes(&answer).expect("STUN");
            if message.has_class(MessageClass::Success) {
                return Ok(answer);
            }
            let code = message.attribute::<ErrorCode>().expect("ERROR-CODE").code();
            match code {
                401 if known => return Err(Refused(401)),
                401 | 438 => {
                    let nonce: Nonce = message.attribute().expect("NONCE");
                    let realm: Realm = message.attribute().expect("REALM");
                    self.nonce = Some(nonce.nonce().to_string());
                    self.realm = realm.realm().to_string();
                }
                code => return Err(Refused(code)),
            }
        }
        panic!("the server takes none of its nonces");
    }

    async fn exchange(
        &self,
        method: Method,
        attributes: &impl Fn(&mut MessageWriteVec),
    ) -> Vec<u8> {
        let (request, transaction) = self.signed(method, attributes);
        self.endpoint.send(self.server, &request).await;
        let answer = self.receive().await;
        let message = Message::from_bytes(&answer).expect("STUN");
        assert_eq!(message.transaction_id(), transaction);
        answer
    }

    /// As far as a challenge has come.
    fn signed(
        &self,
        method: Method,
        attributes: &impl Fn(&mut MessageWriteVec),
    ) -> (Vec<u8>, TransactionId) {
        let mut message = Message::builder_request(method, MessageWriteVec::new());
        attributes(&mut message);
        if let Some(nonce) = &self.nonce {
            add(&mut message, &Username::new(&self.user).expect("username"));
            add(&mut message, &Realm::new(&self.realm).expect("realm"));
            add(&mut message, &Nonce::new(nonce).expect("nonce"));
            let (user, password) = (self.user.clone(), self.password.to_string());
            let credentials = LongTermKeyCredentials::new(user, password, self.realm.clone());
            message
                .add_message_integrity(&credentials.into(), IntegrityAlgorithm::Sha1)
                .expect("integrity");
        }
        let transaction = message.transaction_id();
        (message.finish(), transaction)
    }
}

fn ticket(message: &Message<'_>) -> Vec<u8> {
    let ticket = message.raw_attribute(MOBILITY_TICKET);
    ticket.expect("MOBILITY-TICKET").value.to_vec()
}

fn peer_address(message: &MessageWriteVec, peer: SocketAddr) -> XorPeerAddress {
    XorPeerAddress::new(peer, message.transaction_id())
}

fn add(message: &mut MessageWriteVec, attribute: &impl stun_types::attribute::AttributeWrite) {
    message.add_attribute(attribute).expect("attribute");
}
