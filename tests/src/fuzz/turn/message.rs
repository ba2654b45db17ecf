//! Requests as a real client makes them, and answers as it reads them.

use std::net::SocketAddr;

use stun_types::attribute::{ErrorCode, Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, LongTermKeyCredentials, Message, MessageClass, MessageType,
    MessageWriteVec, Method,
};
use stun_types::prelude::*;
use turn_types::attribute::Lifetime;

pub const USER: (&str, &str) = ("alice", "wonderland");
/// Knows nothing of the first one's.
pub const MALLORY: (&str, &str) = ("mallory", "secret");
pub const REALM: &str = "lab";

/// What a client takes from an answer.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Answer {
    pub success: bool,
    pub error: Option<u16>,
    pub nonce: Option<String>,
    pub lifetime: Option<u32>,
    pub relayed: Option<SocketAddr>,
}

/// `None`: no STUN message.
pub fn parse(bytes: &[u8]) -> Option<Answer> {
    let message = Message::from_bytes(bytes).ok()?;
    let nonce = message.attribute::<Nonce>().ok();
    let relayed = message.attribute::<turn_types::attribute::XorRelayedAddress>();
    Some(Answer {
        success: message.has_class(MessageClass::Success),
        error: message.attribute::<ErrorCode>().ok().map(|e| e.code()),
        nonce: nonce.map(|n| n.nonce().to_owned()),
        lifetime: message.attribute::<Lifetime>().ok().map(|l| l.seconds()),
        relayed: relayed.ok().map(|r| r.addr(message.transaction_id())),
    })
}

/// A request; signed by `user` if there is a nonce.
pub fn request(
    (user, password): (&str, &str),
    method: Method,
    transaction: u128,
    attributes: &[&dyn AttributeWrite],
    nonce: Option<&str>,
) -> Option<Vec<u8>> {
    let kind = MessageType::from_class_method(MessageClass::Request, method);
    let mut message = Message::builder(kind, transaction.into(), MessageWriteVec::new());
    for attribute in attributes {
        // The builder refuses what may stand once only; the server is sent the rest.
        let _ = message.add_attribute(*attribute);
    }
    if let Some(nonce) = nonce {
        let _ = message.add_attribute(&Username::new(user).ok()?);
        let _ = message.add_attribute(&Realm::new(REALM).ok()?);
        let _ = message.add_attribute(&Nonce::new(nonce).ok()?);
        let key = LongTermKeyCredentials::new(user.into(), password.into(), REALM.into());
        let key = key.make_key(IntegrityAlgorithm::Sha1);
        let signed = message.add_message_integrity_with_key(&key, IntegrityAlgorithm::Sha1);
        signed.ok()?;
    }
    Some(message.finish())
}
