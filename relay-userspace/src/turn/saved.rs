//! An allocation as the next process needs it. Data only; the key stays out of it, only how to tell it.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use stun_types::message::TransactionId;

use super::allocation::Allocation;
use crate::credentials::Algorithm;
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
    #[serde(default)]
    pub algorithm: Algorithm,
    pub relayed: SocketAddr,
    /// Of the other family.
    #[serde(default)]
    pub also_relayed: Option<SocketAddr>,
    /// What its Allocate request was answered.
    pub transaction: [u8; 12],
    pub lifetime: u32,
    #[serde(with = "monotonic")]
    pub created: Instant,
    #[serde(with = "monotonic")]
    pub expires: Instant,
    /// The serials of the last ticket issued and of the last presented.
    #[serde(default)]
    pub mobility: Option<(u32, u32)>,
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
        let mut relayed = allocation.relayed()?.iter();
        let transaction = u128::from(allocation.granted.transaction).to_be_bytes();
        let permissions = allocation.permissions.iter();
        let mut channels: Vec<_> = allocation.channels.iter().collect();
        // The next process installs them in this order, not in the table's.
        channels.sort_unstable_by_key(|(number, _)| *number);
        Some(Self {
            id: allocation.id.0,
            worker,
            client: allocation.tuple.client,
            server: allocation.tuple.server,
            username: allocation.username.clone(),
            key_print: allocation.key.print(),
            algorithm: allocation.key.algorithm(),
            relayed: relayed.next()?,
            also_relayed: relayed.next(),
            transaction: std::array::from_fn(|i| transaction[4 + i]),
            lifetime: allocation.granted.lifetime,
            created: allocation.created,
            expires: allocation.expires,
            mobility: allocation.mobility.map(|m| (m.issued, m.presented)),
            permissions: permissions
                .map(|(&peer, &expires)| SavedPermission { peer, expires })
                .collect(),
            channels: channels
                .into_iter()
                .map(|(number, channel)| SavedChannel {
                    number,
                    peer: channel.peer,
                    session: channel.session.map(|session| session.0),
                    expires: channel.expires,
                })
                .collect(),
        })
    }

    pub fn all_relayed(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        [self.relayed].into_iter().chain(self.also_relayed)
    }

    pub(super) fn transaction(&self) -> TransactionId {
        let id = self.transaction.iter();
        id.fold(0u128, |id, byte| id << 8 | u128::from(*byte))
            .into()
    }
}
