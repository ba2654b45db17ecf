//! Commands in words, so that a test reads like a transcript. Checks on the way what every answer must hold to.

use std::time::Instant;

use stun_types::attribute::*;
use stun_types::message::*;
use turn_types::attribute::{
    AddressErrorCode, Lifetime, ReservationToken as Token, XorRelayedAddress,
};
use turn_types::message::*;

use super::harness::{TestServer, key};
use crate::turn::*;

impl TestServer {
    /// One command in words; deadlines in seconds since the start.
    pub fn told(&self, command: &Command) -> String {
        let at = |instant: Instant| match instant.checked_duration_since(self.start) {
            Some(since) => since.as_secs().to_string(),
            None => "never".into(),
        };
        match command {
            Command::Send { to, bytes } => {
                format!("{} {}", to.client.port(), self.told_answer(bytes))
            }
            Command::BindRelay {
                family,
                local_hint,
                port,
                ..
            } => match port {
                PortWish::EvenWithNext(_) => {
                    format!("bind {family:?} at {local_hint} EvenWithNext")
                }
                port => format!("bind {family:?} at {local_hint} {port:?}"),
            },
            Command::FetchAllocation {
                allocation, home, ..
            } => format!("fetch {} from worker {home}", allocation.0),
            Command::LookUp { name, .. } => format!("look up {name}"),
            Command::ReleaseRelay { relayed, .. } => format!("release {relayed}"),
            Command::OpenPeerConnection {
                connection,
                relayed,
                peer,
            } => format!("connect {} {relayed}>{peer}", connection.0),
            Command::ClosePeerConnection { connection } => format!("close {}", connection.0),
            Command::JoinConnections {
                connection,
                username,
                from,
                ..
            } => format!(
                "join {} for {username} at {}",
                connection.0,
                from.client.port()
            ),
            Command::CancelReservation { .. } => "cancel the reservation".into(),
            Command::InstallSession { session, spec, .. } => {
                assert_eq!(spec.far.channel, None);
                format!(
                    "install {} {}>{} {:#x} until {}, {}>{} until {}",
                    session.0,
                    spec.near.remote,
                    spec.near.local,
                    spec.near.channel.unwrap(),
                    at(spec.near.deadline),
                    spec.far.remote,
                    spec.far.local,
                    at(spec.far.deadline)
                )
            }
            Command::ExtendSession {
                session,
                near_deadline,
                far_deadline,
            } => {
                format!(
                    "extend {} {} {}",
                    session.0,
                    at(*near_deadline),
                    at(*far_deadline)
                )
            }
            Command::RemoveSession { session } => format!("remove {}", session.0),
        }
    }

    fn told_answer(&self, bytes: &[u8]) -> String {
        let message = Message::from_bytes(bytes).unwrap();
        let transaction = message.transaction_id();
        let mut told = match message.method() {
            BINDING => "Binding",
            ALLOCATE => "Allocate",
            REFRESH => "Refresh",
            CREATE_PERMISSION => "CreatePermission",
            CHANNEL_BIND => "ChannelBind",
            CONNECT => "Connect",
            CONNECTION_BIND => "ConnectionBind",
            CONNECTION_ATTEMPT => "ConnectionAttempt",
            other => panic!("answer to {other}"),
        }
        .to_owned();
        assert!(
            message.attribute::<Software>().is_err(),
            "SOFTWARE tells too much"
        );
        if let Ok(connection) = message.attribute::<turn_types::attribute::ConnectionId>() {
            told += &format!(" connection {}", connection.id());
        }
        match message.attribute::<ErrorCode>() {
            Ok(error) => told += &format!(" {}", error.code()),
            Err(_) => told += " ok",
        }
        for (_, raw) in message.iter_attributes() {
            if let Ok(relayed) = XorRelayedAddress::from_raw_ref(&raw) {
                told += &format!(" relayed {}", relayed.addr(transaction));
            }
        }
        if let Ok(refused) = message.attribute::<AddressErrorCode>() {
            told += &format!(" {:?} {}", refused.family(), refused.error().code());
        }
        if let Ok(lifetime) = message.attribute::<Lifetime>() {
            told += &format!(" lifetime {}", lifetime.seconds());
        }
        if let Some(ticket) = message.raw_attribute(AttributeType::new(0x8030)) {
            assert_eq!(ticket.value.len(), 40);
            told += " ticket";
        }
        if message.attribute::<Token>().is_ok() {
            told += " token";
        }
        if let Ok(mapped) = message.attribute::<XorMappedAddress>() {
            told += &format!(" mapped {}", mapped.addr(transaction));
        }
        if let Some(unknown) = message.raw_attribute(UnknownAttributes::TYPE) {
            told += &format!(" unknown {:x?}", &unknown.value[..]);
        }
        if message.attribute::<Nonce>().is_ok() {
            told += " challenge";
        }
        let signed = message.has_attribute(MessageIntegrity::TYPE);
        let proven = self
            .known
            .iter()
            .any(|c| message.validate_integrity_with_key(&key(c)).is_ok());
        assert_eq!(signed, proven, "integrity of nobody known: {told}");
        if !signed {
            told += " unsigned";
        }
        if message.has_attribute(Fingerprint::TYPE) {
            told += " fingerprint";
        }
        told
    }
}
