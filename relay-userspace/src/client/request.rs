//! Requests of a TURN client: attributes kept until the login is known, signed each time they are sent. Sends nothing.

use std::fmt;
use std::net::SocketAddr;

use stun_types::attribute::{
    AlternateServer, AttributeType, ErrorCode, Nonce, RawAttribute, Realm, Username,
};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageIntegrityCredentials,
    MessageWriteVec, Method, StunParseError, StunWriteError, TransactionId,
};
use stun_types::prelude::*;
use turn_types::attribute::XorPeerAddress;

/// What a message does not hold, or cannot.
#[derive(Debug, thiserror::Error)]
pub enum MessageError {
    #[error("read a STUN message: {0}")]
    Parse(#[from] StunParseError),
    #[error("write a STUN message: {0}")]
    Write(#[from] StunWriteError),
    #[error("an answer without {0}")]
    Without(&'static str),
}

/// The server's error answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub code: u16,
    pub reason: String,
    /// Where to try instead (300).
    pub alternates: Vec<SocketAddr>,
}

impl Refused {
    /// Whether it is one that [`Login::challenge`] helps against.
    pub fn is_challenge(&self) -> bool {
        is_challenge(self.code)
    }
}

fn is_challenge(code: u16) -> bool {
    matches!(code, ErrorCode::UNAUTHORIZED | ErrorCode::STALE_NONCE)
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "refused: {} {}", self.code, self.reason)
    }
}

impl std::error::Error for Refused {}

/// Long-term credentials, and what the server's challenge adds to them.
#[derive(Clone)]
pub struct Login {
    user: String,
    password: String,
    challenge: Option<(String, String)>,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login of {}", self.user)
    }
}

impl Login {
    pub fn new(user: &str, password: &str) -> Self {
        Self {
            user: user.to_owned(),
            password: password.to_owned(),
            challenge: None,
        }
    }

    /// Remembers realm and nonce of a 401 or 438.
    pub fn challenge(&mut self, message: &Message<'_>) -> Result<(), MessageError> {
        let realm = message.attribute::<Realm>();
        let realm = realm.map_err(|_| MessageError::Without("REALM"))?;
        let nonce = message.attribute::<Nonce>();
        let nonce = nonce.map_err(|_| MessageError::Without("NONCE"))?;
        self.challenge = Some((realm.realm().to_owned(), nonce.nonce().to_owned()));
        Ok(())
    }

    /// Somebody without a name: what it encodes is not signed.
    pub fn stranger(&self) -> Self {
        Self {
            challenge: None,
            ..self.clone()
        }
    }

    /// The same one, as the challenge of `message` wants it to log in.
    pub fn challenged_by(&self, message: &Message<'_>) -> Result<Self, MessageError> {
        let mut other = self.clone();
        other.challenge(message)?;
        Ok(other)
    }

    /// Whether both answer one challenge, or none.
    pub fn is_as(&self, other: &Self) -> bool {
        self.challenge == other.challenge
    }

    /// Whether both know the same realm, in which a user has one password.
    pub fn is_in_realm_of(&self, other: &Self) -> bool {
        let realm = |one: &Self| one.challenge.as_ref().map(|(realm, _)| realm.clone());
        realm(self).is_some() && realm(self) == realm(other)
    }

    /// Whether `message` is signed with our key.
    pub fn proves(&self, message: &Message<'_>) -> bool {
        self.key()
            .is_some_and(|key| message.validate_integrity(&key).is_ok())
    }

    /// Whether to believe an answer on a connection whose server is known: an error needs no signature, and before a key is
    /// agreed nothing does.
    pub fn accepts(&self, message: &Message<'_>) -> bool {
        message.has_class(MessageClass::Error) || self.challenge.is_none() || self.proves(message)
    }

    fn key(&self) -> Option<MessageIntegrityCredentials> {
        let (realm, _) = self.challenge.as_ref()?;
        let (user, password) = (self.user.clone(), self.password.clone());
        Some(LongTermKeyCredentials::new(user, password, realm.clone()).into())
    }
}

type Write =
    Box<dyn Fn(&mut MessageWriteVec, TransactionId) -> Result<(), MessageError> + Send + Sync>;

/// A request that can be sent again under another nonce.
pub struct Request {
    method: Method,
    attributes: Vec<Write>,
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} attributes", self.method, self.attributes.len())
    }
}

impl Request {
    pub fn new(method: Method) -> Self {
        Self {
            method,
            attributes: Vec::new(),
        }
    }

    pub fn method(&self) -> Method {
        self.method
    }

    #[must_use]
    pub fn with<A: AttributeWrite + Clone + Send + Sync + 'static>(mut self, attribute: A) -> Self {
        self.attributes.push(Box::new(move |message, _| {
            Ok(message.add_attribute(&attribute)?)
        }));
        self
    }

    #[must_use]
    pub fn with_raw(mut self, kind: AttributeType, value: &[u8]) -> Self {
        let value = value.to_vec();
        self.attributes.push(Box::new(move |message, _| {
            Ok(message.add_attribute(&RawAttribute::new(kind, &value))?)
        }));
        self
    }

    #[must_use]
    pub fn with_peer(mut self, peer: SocketAddr) -> Self {
        let write = move |message: &mut MessageWriteVec, transaction| {
            Ok(message.add_attribute(&XorPeerAddress::new(peer, transaction))?)
        };
        self.attributes.push(Box::new(write));
        self
    }

    /// Its bytes under a new transaction, signed if there is a challenge.
    pub fn encode(&self, login: &Login) -> Result<(Vec<u8>, TransactionId), MessageError> {
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
#[derive(Debug, Clone)]
pub struct Answer(Vec<u8>);

impl Answer {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    pub fn message(&self) -> Result<Message<'_>, MessageError> {
        Ok(Message::from_bytes(&self.0)?)
    }

    /// The error it carries, if it is one.
    pub fn refused(&self) -> Result<Option<Refused>, MessageError> {
        let message = self.message()?;
        if !message.has_class(MessageClass::Error) {
            return Ok(None);
        }
        let error = message.attribute::<ErrorCode>();
        let error = error.map_err(|_| MessageError::Without("ERROR-CODE"))?;
        Ok(Some(Refused {
            code: error.code(),
            reason: error.reason().to_owned(),
            alternates: message
                .iter_attributes()
                .filter_map(|(_, raw)| AlternateServer::from_raw_ref(&raw).ok())
                .map(|one| one.server())
                .collect(),
        }))
    }
}
