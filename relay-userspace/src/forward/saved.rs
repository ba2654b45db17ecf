//! A session of a forward as the next process needs it. Data only.

use std::net::SocketAddr;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::monotonic;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSession {
    pub id: u64,
    pub worker: usize,
    /// Its name.
    pub forward: String,
    pub client: SocketAddr,
    pub server: SocketAddr,
    pub destination: SocketAddr,
    pub local: SocketAddr,
    #[serde(with = "monotonic")]
    pub since: Instant,
    #[serde(with = "monotonic")]
    pub deadline: Instant,
}
