//! Users, and what they and their sessions may in a second.

use serde::{Deserialize, Serialize};

use super::{Change, Dropped, Limit, Traffic};

/// What is limited, and for whom.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LimitsView {
    /// Every session's that has none of its own.
    pub session: Limit,
    /// Every user's that has none of its own.
    pub user: Limit,
    pub burst_ms: u64,
    /// Users with a limit of their own, or with sessions.
    pub users: Vec<UserLimit>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct UserLimit {
    pub user: String,
    #[serde(flatten)]
    pub limit: Limit,
    /// Since the first of its sessions that run.
    pub dropped: Dropped,
}

/// `GET /v1/users`: a user of the configuration, or one who holds something now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Without an expiry.
    pub name: String,
    /// In `auth.users`; else a shared secret or `auth.hook` vouches for it.
    pub configured: bool,
    pub allocations: u64,
    /// Those in quarantine included.
    pub channels: u64,
    pub permissions: u64,
    /// Sessions that run.
    pub sessions: u64,
    /// Its own limit in each direction; what is shared may leave it less.
    pub limit: Limit,
    pub dropped: Dropped,
    /// Of the sessions that run.
    pub to_peer: Traffic,
    pub to_client: Traffic,
}

impl User {
    /// Who has nothing.
    pub fn blank(name: &str, configured: bool) -> Self {
        Self {
            name: name.to_owned(),
            configured,
            allocations: 0,
            channels: 0,
            permissions: 0,
            sessions: 0,
            limit: Limit::NONE,
            dropped: Dropped::default(),
            to_peer: Traffic::default(),
            to_client: Traffic::default(),
        }
    }
}

/// Body of `PUT /v1/limits`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitRequest {
    /// `"sessions"`, `"users"`, `{"user": NAME}` or `{"session": ID}`.
    pub of: Change,
    pub limit: Limit,
}
