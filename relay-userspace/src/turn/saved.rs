//! An allocation as the next process needs it. Data only; the key stays out of it, only how to tell it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use stun_types::message::{BINDING, MessageClass, MessageType, TransactionId};
use stun_types::message::{IntegrityAlgorithm, IntegrityKey, Message, MessageWriteVec};
use stun_types::prelude::*;

use super::allocation::Allocation;
use crate::monotonic;

/// Of a client over UDP: connections do not outlive the process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedAllocation {
    pub id: u64,
    /// The kernel gives a client's packets to the same worker as long as there are as many.
    pub worker: usize,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub username: String,
    /// Which of the user's keys it was made with.
    pub key_print: u64,
    pub relayed: SocketAddr,
    /// What its Allocate request was answered.
    pub transaction: [u8; 12],
    pub lifetime: u32,
    #[serde(with = "monotonic")]
    pub created: Instant,
    #[serde(with = "monotonic")]
    pub expires: Instant,
    pub permissions: Vec<SavedPermission>,
    pub channels: Vec<SavedChannel>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPermission {
    pub peer: IpAddr,
    #[serde(with = "monotonic")]
    pub expires: Instant,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedChannel {
    pub number: u16,
    pub peer: SocketAddr,
    /// `None` in quarantine.
    pub session: Option<u64>,
    #[serde(with = "monotonic")]
    pub expires: Instant,
}

impl SavedAllocation {
    /// `None` while its relayed address is being bound.
    pub(super) fn of(allocation: &Allocation, worker: usize) -> Option<Self> {
        let transaction = u128::from(allocation.granted.transaction).to_be_bytes();
        let permissions = allocation.permissions.iter();
        let channels = allocation.channels.iter();
        Some(Self {
            id: allocation.id.0,
            worker,
            client: allocation.tuple.client,
            server: allocation.tuple.server,
            username: allocation.username.clone(),
            key_print: print(allocation.key.expose()),
            relayed: allocation.relayed()?,
            transaction: std::array::from_fn(|i| transaction[4 + i]),
            lifetime: allocation.granted.lifetime,
            created: allocation.created,
            expires: allocation.expires,
            permissions: permissions
                .map(|(&peer, &expires)| SavedPermission { peer, expires })
                .collect(),
            channels: channels
                .map(|(number, channel)| SavedChannel {
                    number,
                    peer: channel.peer,
                    session: channel.session.map(|session| session.0),
                    expires: channel.expires,
                })
                .collect(),
        })
    }

    pub(super) fn transaction(&self) -> TransactionId {
        let id = self.transaction.iter();
        id.fold(0u128, |id, byte| id << 8 | u128::from(*byte))
            .into()
    }
}

/// Tells a user's keys apart without giving one away: 64 bits of a MAC over a fixed message.
pub(super) fn print(key: &IntegrityKey) -> u64 {
    let kind = MessageType::from_class_method(MessageClass::Indication, BINDING);
    let mut message = Message::builder(kind, TransactionId::from(1), MessageWriteVec::new());
    let signed = message.add_message_integrity_with_key(key, IntegrityAlgorithm::Sha1);
    debug_assert!(signed.is_ok(), "integrity is added once");
    let bytes = message.finish();
    let end = bytes.last_chunk().copied();
    end.map_or(0, u64::from_be_bytes)
}
