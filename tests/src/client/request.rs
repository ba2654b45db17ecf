//! Requests of the TURN client: attributes kept until the login is known, signed each time they are sent.

use std::fmt;
use std::net::SocketAddr;

use anyhow::{Context, Result};
use stun_types::attribute::{
    AlternateServer, AttributeType, ErrorCode, Nonce, RawAttribute, Realm, Username,
};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageIntegrityCredentials,
    MessageWriteVec, Method, TransactionId,
};
use stun_types::prelude::*;
use turn_types::attribute::XorPeerAddress;

/// The server's error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub code: u16,
    pub reason: String,
    /// Where to try instead (300).
    pub alternates: Vec<SocketAddr>,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {} {}", self.code, self.reason)
    }
}

impl std::error::Error for Refused {}

/// Long-term credentials, and what the server's challenge adds to them.
pub(crate) struct Login {
    user: String,
    password: String,
    challenge: Option<(String, String)>,
}

impl Login {
    pub(crate) fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            challenge: None,
        }
    }

    /// Remembers realm and nonce of a 401 or 438.
    pub(crate) fn challenge(&mut self, message: &Message<'_>) -> Result<()> {
        let realm = message
            .attribute::<Realm>()
            .context("a challenge without REALM")?;
        let nonce = message
            .attribute::<Nonce>()
            .context("a challenge without NONCE")?;
        self.challenge = Some((realm.realm().to_owned(), nonce.nonce().to_owned()));
        Ok(())
    }

    /// True if `message` is signed with our key, or no key is agreed yet.
    pub(crate) fn signed(&self, message: &Message<'_>) -> bool {
        self.key()
            .is_none_or(|key| message.validate_integrity(&key).is_ok())
    }

    /// Whether to believe an answer: an error needs no signature.
    pub(super) fn accepts(&self, message: &Message<'_>) -> bool {
        message.has_class(MessageClass::Error) || self.signed(message)
    }

    fn key(&self) -> Option<MessageIntegrityCredentials> {
        let (realm, _) = self.challenge.as_ref()?;
        let (user, password) = (self.user.clone(), self.password.clone());
        Some(LongTermKeyCredentials::new(user, password, realm.clone()).into())
    }
}

type Write = Box<dyn Fn(&mut MessageWriteVec, TransactionId) -> Result<()>>;

/// A request that can be sent again under another nonce.
pub(crate) struct Request {
    method: Method,
    attributes: Vec<Write>,
}

impl Request {
    pub(crate) fn new(method: Method) -> Self {
        Self {
            method,
            attributes: Vec::new(),
        }
    }

    pub(crate) fn method(&self) -> Method {
        self.method
    }

    pub(crate) fn add<A: AttributeWrite + Clone + 'static>(&mut self, attribute: &A) -> Result<()> {
        let attribute = attribute.clone();
        self.attributes.push(Box::new(move |message, _| {
            Ok(message.add_attribute(&attribute)?)
        }));
        Ok(())
    }

    pub(crate) fn add_raw(&mut self, kind: AttributeType, value: &[u8]) {
        let value = value.to_vec();
        self.attributes.push(Box::new(move |message, _| {
            Ok(message.add_attribute(&RawAttribute::new(kind, &value))?)
        }));
    }

    pub(crate) fn add_peer(&mut self, peer: SocketAddr) -> Result<()> {
        let write = move |message: &mut MessageWriteVec, transaction| {
            Ok(message.add_attribute(&XorPeerAddress::new(peer, transaction))?)
        };
        self.attributes.push(Box::new(write));
        Ok(())
    }

    /// Its bytes under a new transaction, signed if there is a challenge.
    pub(crate) fn encode(&self, login: &Login) -> Result<(Vec<u8>, TransactionId)> {
        let mut message = Message::builder_request(self.method, MessageWriteVec::new());
        let transaction = Message::from_bytes(message.data())?.transaction_id();
        for write in &self.attributes {
            write(&mut message, transaction)?;
        }
        if let (Some((realm, nonce)), Some(key)) = (&login.challenge, login.key()) {
            message.add_attribute(&Username::new(&login.user)?)?;
            message.add_attribute(&Realm::new(realm)?)?;
            message.add_attribute(&Nonce::new(nonce)?)?;
            message.add_message_integrity(&key, IntegrityAlgorithm::Sha1)?;
        }
        Ok((message.finish(), transaction))
    }
}

/// A response, kept as bytes.
pub(crate) struct Answer(Vec<u8>);

impl Answer {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub(crate) fn read<T>(&self, read: impl FnOnce(&Message<'_>) -> Result<T>) -> Result<T> {
        read(&Message::from_bytes(&self.0)?)
    }

    /// The error it carries, if it is one.
    pub(crate) fn refused(&self) -> Result<Option<Refused>> {
        self.read(|message| {
            if !message.has_class(MessageClass::Error) {
                return Ok(None);
            }
            let error = message
                .attribute::<ErrorCode>()
                .context("an error answer without ERROR-CODE")?;
            Ok(Some(Refused {
                code: error.code(),
                reason: error.reason().to_owned(),
                alternates: message
                    .iter_attributes()
                    .filter_map(|(_, raw)| AlternateServer::from_raw_ref(&raw).ok())
                    .map(|one| one.server())
                    .collect(),
            }))
        })
    }
}
