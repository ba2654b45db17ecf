//! What a worker's TURN server is made from.

use std::fmt;
use std::sync::Arc;

use super::alternate::Alternate;
use super::behavior::Alternates;
use super::command::Family;
use super::shared::Shared;
use crate::admission::Admission;
use crate::advertise::Advertise;
use crate::config::Limits;
use crate::credentials::Credentials;
use crate::hook::Directory;
use crate::policy::PeerPolicy;

/// What of it can change while the server runs.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Of the same realm.
    pub credentials: Arc<Credentials>,
    pub limits: Limits,
    /// Whether allocations end with the credential that made them.
    pub strict_expiry: bool,
    pub directory: Option<Arc<Directory>>,
    pub alternates: Arc<[Alternate]>,
    /// Off: no allocation moves any more.
    pub mobility: bool,
}

#[derive(Clone)]
pub struct ServerConfig {
    /// Carries the realm.
    pub credentials: Arc<Credentials>,
    pub policy: Arc<PeerPolicy>,
    pub limits: Limits,
    /// Whether allocations end with the credential that made them.
    pub strict_expiry: bool,
    /// What `auth.hook` said of users nobody here knows.
    pub directory: Option<Arc<Directory>>,
    /// Quotas and flood limits over all workers: make one [`Shared`] and clone the `Arc`.
    pub shared: Arc<Shared>,
    pub relay_families: RelayFamilies,
    /// Clients see and name public addresses; inside there are local ones only.
    pub advertise: Advertise,
    /// Whether new allocations are made, and where clients are sent while they are not.
    pub admission: Admission,
    pub alternates: Arc<[Alternate]>,
    /// Where Binding requests may ask to be answered from (RFC 5780).
    pub behavior: Option<Alternates>,
    /// Whether allocations may follow their client (RFC 8016).
    pub mobility: bool,
    /// Ids up to this one were given by an earlier process.
    pub ids_after: u64,
    /// The same for all workers: a client whose 5-tuple moves keeps a valid nonce.
    pub nonce_key: [u8; 32],
    /// Unpredictable: keys hash tables, reservation tokens and transaction ids.
    pub seed: [u8; 32],
    pub worker_index: usize,
    pub worker_count: usize,
}

/// Without the nonce key and the seed.
impl fmt::Debug for ServerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerConfig")
            .field("credentials", &self.credentials)
            .field("policy", &self.policy)
            .field("limits", &self.limits)
            .field("relay_families", &self.relay_families)
            .field("advertise", &self.advertise)
            .field("worker_index", &self.worker_index)
            .field("worker_count", &self.worker_count)
            .finish_non_exhaustive()
    }
}

/// The families relayed addresses can be had in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayFamilies {
    pub v4: bool,
    pub v6: bool,
}

impl RelayFamilies {
    pub fn has(self, family: Family) -> bool {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }
}
