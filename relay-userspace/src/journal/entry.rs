//! The things a journal holds, by what names them.

use serde::{Deserialize, Serialize};

use crate::config::Forward;
use crate::forward::saved::SavedSession;
use crate::police::{Change, Limit};
use crate::turn::SavedAllocation;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entry {
    Allocation(SavedAllocation),
    /// One an operator added to the running relay.
    Forward(Forward),
    Session(SavedSession),
    /// One an operator gave the running relay.
    Limit(GivenLimit),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenLimit {
    pub of: Change,
    pub limit: Limit,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Key {
    Allocation(u64),
    Forward(String),
    Session(u64),
    Limit(Change),
}

/// What an earlier process left.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Remembered {
    /// Nonces it gave out stay good.
    pub nonce_key: [u8; 32],
    pub allocations: Vec<SavedAllocation>,
    pub forwards: Vec<Forward>,
    pub sessions: Vec<SavedSession>,
    pub limits: Vec<GivenLimit>,
}

impl Remembered {
    /// No allocation and no session of one has a higher id.
    pub fn last_id(&self) -> u64 {
        let ids = self.allocations.iter().flat_map(|allocation| {
            let sessions = allocation.channels.iter().filter_map(|c| c.session);
            sessions.chain([allocation.id])
        });
        ids.max().unwrap_or(0)
    }
}

impl Entry {
    /// With the names of fields, so that an older and a newer relay read it as well.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) -> Result<(), rmp_serde::encode::Error> {
        rmp_serde::encode::write_named(bytes, self)
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, rmp_serde::decode::Error> {
        rmp_serde::from_slice(bytes)
    }

    pub fn key(&self) -> Key {
        match self {
            Entry::Allocation(allocation) => Key::Allocation(allocation.id),
            Entry::Forward(forward) => Key::Forward(forward.name.clone()),
            Entry::Session(session) => Key::Session(session.id),
            Entry::Limit(given) => Key::Limit(given.of.clone()),
        }
    }
}

/// As it stands in the file.
impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Allocation(id) => write!(f, "allocation/{id}"),
            Key::Forward(name) => write!(f, "forward/{name}"),
            Key::Session(id) => write!(f, "session/{id}"),
            Key::Limit(Change::Sessions) => write!(f, "limit/sessions"),
            Key::Limit(Change::Users) => write!(f, "limit/users"),
            Key::Limit(Change::User(name)) => write!(f, "limit/user/{name}"),
            Key::Limit(Change::Session(id)) => write!(f, "limit/session/{id}"),
        }
    }
}

impl Remembered {
    /// Of each of `count` workers.
    pub fn allocations_by_worker(&mut self, count: usize) -> Vec<Vec<SavedAllocation>> {
        let mut workers: Vec<_> = (0..count).map(|_| Vec::new()).collect();
        for allocation in self.allocations.drain(..) {
            if let Some(worker) = workers.get_mut(allocation.worker) {
                worker.push(allocation);
            }
        }
        workers
    }

    pub(super) fn add(&mut self, entry: Entry) {
        match entry {
            Entry::Allocation(allocation) => self.allocations.push(allocation),
            Entry::Forward(forward) => self.forwards.push(forward),
            Entry::Session(session) => self.sessions.push(session),
            Entry::Limit(given) => self.limits.push(given),
        }
    }
}
