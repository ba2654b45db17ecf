//! A STUN message as received: the checks the codec leaves to us, and attributes read the way RFC 8489 wants them.

use std::net::SocketAddr;

use stun_types::attribute::{
    Attribute as _, AttributeFromRaw, AttributeStaticType, AttributeType, Fingerprint,
    MessageIntegrity, MessageIntegritySha256, Nonce, PasswordAlgorithm, Realm, Userhash, Username,
};
use stun_types::message::{Message, MessageHeader, Method, StunParseError, TransactionId};
use turn_types::attribute::{
    AdditionalAddressFamily, ChannelNumber, ConnectionId, Data, DontFragment, EvenPort, Lifetime,
    RequestedAddressFamily, RequestedTransport, ReservationToken, XorPeerAddress,
};

use super::answer::Reject;
use crate::credentials::Integrity;

/// The largest payload of a UDP datagram.
const LARGEST_DATAGRAM: usize = 65_507;

/// Attributes this server comprehends, wherever they come.
const KNOWN: &[AttributeType] = &[
    Username::TYPE,
    MessageIntegrity::TYPE,
    MessageIntegritySha256::TYPE,
    Userhash::TYPE,
    PasswordAlgorithm::TYPE,
    Realm::TYPE,
    Nonce::TYPE,
    ChannelNumber::TYPE,
    Lifetime::TYPE,
    XorPeerAddress::TYPE,
    Data::TYPE,
    RequestedAddressFamily::TYPE,
    AdditionalAddressFamily::TYPE,
    EvenPort::TYPE,
    RequestedTransport::TYPE,
    DontFragment::TYPE,
    ReservationToken::TYPE,
    ConnectionId::TYPE,
];

/// `None` for what must be dropped without an answer (RFC 8489 §6.3).
pub(super) fn parse(payload: &[u8]) -> Option<Message<'_>> {
    if payload.len() > LARGEST_DATAGRAM {
        return None;
    }
    let header = MessageHeader::from_bytes(payload).ok()?;
    let length = usize::from(header.data_length());
    // The codec would read attributes beyond the announced length.
    if length % 4 != 0 || payload.len() != MessageHeader::LENGTH + length {
        return None;
    }
    Message::from_bytes(payload).ok()
}

/// What an answer must repeat of its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Origin {
    pub method: Method,
    pub transaction: TransactionId,
    /// Answers carry FINGERPRINT exactly when requests do.
    pub fingerprint: bool,
    /// What protects the answer, as it protected the request (RFC 8489 §9.2.4).
    pub integrity: Integrity,
}

impl Origin {
    pub fn of(message: &Message<'_>) -> Self {
        Self {
            method: message.method(),
            transaction: message.transaction_id(),
            fingerprint: message.has_attribute(Fingerprint::TYPE),
            integrity: Integrity::of(message).unwrap_or(Integrity::Sha1),
        }
    }
}

/// Refuses comprehension-required attributes nobody here comprehends (RFC 8489 §6.3.1).
pub(super) fn comprehend(message: &Message<'_>) -> Result<(), Reject> {
    comprehend_with(message, &[])
}

/// The same where these are comprehended as well.
pub(super) fn comprehend_with(message: &Message<'_>, more: &[AttributeType]) -> Result<(), Reject> {
    let mut unknown: Vec<AttributeType> = message
        .iter_attributes()
        .map(|(_, raw)| raw.get_type())
        .filter(|kind| {
            kind.comprehension_required() && !KNOWN.contains(kind) && !more.contains(kind)
        })
        .collect();
    unknown.sort_unstable_by_key(AttributeType::value);
    unknown.dedup();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Reject::UnknownAttributes(unknown))
    }
}

/// The first attribute of its type; malformed is a bad request, absent is `None`.
pub(super) fn optional<'m, A>(message: &'m Message<'m>) -> Result<Option<A>, Reject>
where
    A: AttributeFromRaw<'m> + AttributeStaticType,
{
    match message.attribute::<A>() {
        Ok(attribute) => Ok(Some(attribute)),
        Err(StunParseError::MissingAttribute(_)) => Ok(None),
        Err(_) => Err(Reject::BadRequest),
    }
}

pub(super) fn required<'m, A>(message: &'m Message<'m>) -> Result<A, Reject>
where
    A: AttributeFromRaw<'m> + AttributeStaticType,
{
    optional(message)?.ok_or(Reject::BadRequest)
}

/// Every XOR-PEER-ADDRESS, in order.
pub(super) fn peers(message: &Message<'_>) -> Result<Vec<SocketAddr>, Reject> {
    let transaction = message.transaction_id();
    message
        .iter_attributes()
        .filter(|(_, raw)| raw.get_type() == XorPeerAddress::TYPE)
        .map(|(_, raw)| match XorPeerAddress::from_raw_ref(&raw) {
            Ok(peer) => Ok(peer.addr(transaction)),
            Err(_) => Err(Reject::BadRequest),
        })
        .collect()
}
