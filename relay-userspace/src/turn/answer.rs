//! Answers, from what a handler decided to bytes. Errors before integrity are written as small as the standard lets them.

use std::net::SocketAddr;

use stun_types::attribute::{
    AlternateDomain, AlternateServer, AttributeType, AttributeWrite, ErrorCode, Nonce,
    PasswordAlgorithmValue, PasswordAlgorithms, RawAttribute, Realm, UnknownAttributes,
    XorMappedAddress,
};
use stun_types::message::{
    Message, MessageClass, MessageType, MessageWrite as _, MessageWriteExt as _, MessageWriteVec,
};
use turn_types::AddressFamily;
use turn_types::attribute::{
    AddressErrorCode, ConnectionId as ConnectionAttribute, Lifetime,
    ReservationToken as TokenAttribute, XorRelayedAddress,
};

use super::alternate::Redirect;
use super::behavior::{self, Told};
use super::command::{Family, ReservationToken};
use super::counters::Counter;
use super::message::Origin;
use super::mobility::MOBILITY_TICKET;
use super::relayed::Relayed;
use super::tcp::ConnectionId;
use super::ticket::Sealed;
use crate::credentials::{Integrity, LongTermKey};

/// The password algorithms offered, the preferred one first.
pub(super) const OFFERED: &[PasswordAlgorithmValue] =
    &[PasswordAlgorithmValue::SHA256, PasswordAlgorithmValue::MD5];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Success {
    Binding {
        mapped: SocketAddr,
        told: Option<Told>,
        /// Of RFC 5780 §7.6; 0: none.
        padding: usize,
    },
    Allocated {
        relayed: Relayed,
        mapped: SocketAddr,
        lifetime: u32,
        token: Option<ReservationToken>,
        refused: Option<(Family, u16)>,
        ticket: Option<Sealed>,
    },
    Refreshed {
        lifetime: u32,
        ticket: Option<Sealed>,
    },
    Permitted,
    Bound,
    Connected {
        connection: ConnectionId,
    },
    Joined {
        connection: ConnectionId,
    },
}

/// The error responses of RFC 8489 §14.8 and RFC 8656 §19 a UDP server gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reject {
    TryAlternate(Redirect),
    BadRequest,
    Unauthenticated,
    Forbidden,
    MobilityForbidden,
    UnknownAttributes(Vec<AttributeType>),
    AllocationMismatch,
    StaleNonce,
    FamilyUnsupported,
    WrongCredentials,
    TransportUnsupported,
    PeerFamilyMismatch,
    ConnectionExists,
    ConnectionFailed,
    QuotaReached,
    ServerError,
    InsufficientCapacity,
    /// No other server is known that fits the client.
    Draining,
}

/// Realm and nonce to try again with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Challenge<'a> {
    pub realm: &'a str,
    pub nonce: &'a str,
}

impl Reject {
    pub fn code(&self) -> u16 {
        match self {
            Self::TryAlternate(_) => ErrorCode::TRY_ALTERNATE,
            Self::BadRequest => ErrorCode::BAD_REQUEST,
            Self::Unauthenticated => ErrorCode::UNAUTHORIZED,
            Self::Forbidden => ErrorCode::FORBIDDEN,
            // RFC 8016 §5; the codec has no name for it.
            Self::MobilityForbidden => 405,
            Self::UnknownAttributes(_) => ErrorCode::UNKNOWN_ATTRIBUTE,
            Self::AllocationMismatch => ErrorCode::ALLOCATION_MISMATCH,
            Self::StaleNonce => ErrorCode::STALE_NONCE,
            Self::FamilyUnsupported => ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED,
            Self::WrongCredentials => ErrorCode::WRONG_CREDENTIALS,
            Self::TransportUnsupported => ErrorCode::UNSUPPORTED_TRANSPORT_PROTOCOL,
            Self::PeerFamilyMismatch => ErrorCode::PEER_ADDRESS_FAMILY_MISMATCH,
            // RFC 6062 §6.3; the codec has no names for them.
            Self::ConnectionExists => 446,
            Self::ConnectionFailed => 447,
            Self::QuotaReached => ErrorCode::ALLOCATION_QUOTA_REACHED,
            Self::ServerError => ErrorCode::SERVER_ERROR,
            Self::InsufficientCapacity | Self::Draining => ErrorCode::INSUFFICIENT_CAPACITY,
        }
    }

    pub fn counter(&self) -> Counter {
        match self {
            Self::TryAlternate(_) => Counter::Answered300,
            Self::BadRequest => Counter::Answered400,
            Self::Unauthenticated => Counter::Answered401,
            Self::Forbidden => Counter::Answered403,
            Self::MobilityForbidden => Counter::Answered405,
            Self::UnknownAttributes(_) => Counter::Answered420,
            Self::AllocationMismatch => Counter::Answered437,
            Self::StaleNonce => Counter::Answered438,
            Self::FamilyUnsupported => Counter::Answered440,
            Self::WrongCredentials => Counter::Answered441,
            Self::TransportUnsupported => Counter::Answered442,
            Self::PeerFamilyMismatch => Counter::Answered443,
            Self::ConnectionExists => Counter::Answered446,
            Self::ConnectionFailed => Counter::Answered447,
            Self::QuotaReached => Counter::Answered486,
            Self::ServerError => Counter::Answered500,
            Self::InsufficientCapacity | Self::Draining => Counter::Answered508,
        }
    }
}

/// A success; `key` protects it, and only Binding goes without.
pub(super) fn success(origin: Origin, success: &Success, key: Option<&LongTermKey>) -> Vec<u8> {
    let mut answer = Answer::new(origin, MessageClass::Success);
    let transaction = origin.transaction;
    match *success {
        Success::Binding {
            mapped,
            told,
            padding,
        } => {
            answer.add(&XorMappedAddress::new(mapped, transaction));
            if let Some(told) = told {
                answer.add_told(mapped, told);
            }
            if padding > 0 {
                answer.add(&RawAttribute::new(behavior::PADDING, &vec![0; padding]));
            }
        }
        Success::Allocated {
            relayed,
            mapped,
            lifetime,
            token,
            refused,
            ticket,
        } => {
            answer.add_ticket(ticket);
            for relayed in relayed.iter() {
                answer.add(&XorRelayedAddress::new(relayed, transaction));
            }
            if let Some((family, code)) = refused {
                let family = match family {
                    Family::V4 => AddressFamily::IPV4,
                    Family::V6 => AddressFamily::IPV6,
                };
                let reason = ErrorCode::default_reason_for_code(code);
                let error = ErrorCode::new(code, reason).expect("codes are between 300 and 699");
                answer.add(&AddressErrorCode::new(family, error));
            }
            answer.add(&Lifetime::new(lifetime));
            if let Some(token) = token {
                answer.add(&TokenAttribute::new(token.0));
            }
            answer.add(&XorMappedAddress::new(mapped, transaction));
        }
        Success::Refreshed { lifetime, ticket } => {
            answer.add(&Lifetime::new(lifetime));
            answer.add_ticket(ticket);
        }
        Success::Connected { connection } => answer.add(&ConnectionAttribute::new(connection.0)),
        // The connection is named by the request.
        Success::Permitted | Success::Bound | Success::Joined { .. } => {}
    }
    answer.finish(key)
}

/// An error to a client that proved who it is.
pub(super) fn error(origin: Origin, reject: &Reject, key: &LongTermKey) -> Vec<u8> {
    let reason = match reject {
        Reject::MobilityForbidden => "Mobility Forbidden",
        Reject::ConnectionExists => "Connection Already Exists",
        Reject::ConnectionFailed => "Connection Timeout or Failure",
        Reject::Draining => "Draining",
        reject => ErrorCode::default_reason_for_code(reject.code()),
    };
    let mut answer = Answer::new(origin, MessageClass::Error);
    answer.add_reject(reject, reason);
    answer.finish(Some(key))
}

/// An error to anyone: no reason phrase, so that spoofed requests gain little.
pub(super) fn bare_error(
    origin: Origin,
    reject: &Reject,
    challenge: Option<Challenge<'_>>,
) -> Vec<u8> {
    let mut answer = Answer::new(origin, MessageClass::Error);
    answer.add_reject(reject, "");
    if let Some(Challenge { realm, nonce }) = challenge {
        answer.add(&Realm::new(realm).expect("the configuration bounds the realm"));
        answer.add(&Nonce::new(nonce).expect("nonces are 29 characters"));
        answer.add(&PasswordAlgorithms::new(OFFERED));
    }
    answer.finish(None)
}

struct Answer {
    message: MessageWriteVec,
    fingerprint: bool,
    integrity: Integrity,
}

impl Answer {
    fn new(origin: Origin, class: MessageClass) -> Self {
        let kind = MessageType::from_class_method(class, origin.method);
        Self {
            message: Message::builder(
                kind,
                origin.transaction,
                MessageWriteVec::with_capacity(160),
            ),
            fingerprint: origin.fingerprint,
            integrity: origin.integrity,
        }
    }

    fn add(&mut self, attribute: &dyn AttributeWrite) {
        let added = self.message.add_attribute(attribute);
        debug_assert!(added.is_ok(), "nothing precedes integrity but attributes");
    }

    fn add_ticket(&mut self, ticket: Option<Sealed>) {
        if let Some(ticket) = ticket {
            self.add(&RawAttribute::new(MOBILITY_TICKET, &ticket));
        }
    }

    fn add_told(&mut self, mapped: SocketAddr, told: Told) {
        for (kind, address) in [
            (behavior::MAPPED_ADDRESS, mapped),
            (behavior::RESPONSE_ORIGIN, told.origin),
            (behavior::OTHER_ADDRESS, told.other),
        ] {
            self.add(&RawAttribute::new(kind, &behavior::plain(address)));
        }
    }

    fn add_reject(&mut self, reject: &Reject, reason: &str) {
        self.add(&ErrorCode::new(reject.code(), reason).expect("codes are between 300 and 699"));
        if let Reject::UnknownAttributes(unknown) = reject {
            self.add(&UnknownAttributes::new(unknown));
        }
        if let Reject::TryAlternate(Redirect { servers, domain }) = reject {
            for server in servers {
                self.add(&AlternateServer::new(*server));
            }
            if let Some(domain) = domain {
                self.add(&AlternateDomain::new(domain));
            }
        }
    }

    fn finish(mut self, key: Option<&LongTermKey>) -> Vec<u8> {
        if let Some(key) = key {
            key.protect(&mut self.message, self.integrity);
        }
        if self.fingerprint {
            let added = self.message.add_fingerprint();
            debug_assert!(added.is_ok(), "the fingerprint is added once");
        }
        self.message.finish()
    }
}
