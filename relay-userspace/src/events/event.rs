//! One event as JSON, and as those tell it who know no time of day. Data only.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::kind::{Change, Kind, Reason, What};
use crate::api::{Dropped, Traffic};
use crate::turn::Transport;

/// A permission is for a host, everything else for a host's port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Peer {
    Port(SocketAddr),
    Host(IpAddr),
}

/// Fields that say nothing about it are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// From 1, without gaps, in this process; not of `lost`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Milliseconds since 1970.
    pub time_ms: u64,
    pub event: Kind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<u64>,
    /// The one it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allocation: Option<u64>,
    /// Without its expiry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Transport>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relayed: Vec<SocketAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub channel: Option<u16>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasted_seconds: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
    /// Packets and application bytes from the client, kernel and userspace together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_peer: Option<Traffic>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_client: Option<Traffic>,
    /// Packets over a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropped: Option<Dropped>,
    /// Allocations and sessions of forwards that are left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left: Option<u64>,
    /// Events that did not fit this listener's queue.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lost: Option<u64>,
}

impl Event {
    pub fn of(kind: Kind) -> Event {
        Event {
            sequence: None,
            time_ms: 0,
            event: kind,
            id: None,
            allocation: None,
            user: None,
            forward: None,
            client: None,
            transport: None,
            server: None,
            relayed: Vec::new(),
            peer: None,
            channel: None,
            expires_in_seconds: None,
            lasted_seconds: None,
            reason: None,
            to_peer: None,
            to_client: None,
            dropped: None,
            left: None,
            lost: None,
        }
    }

    pub fn new(what: What, change: Change) -> Event {
        Event::of(Kind::Of(what, change))
    }
}

/// An event with the moments it is about, for whoever knows what time it is and what was relayed.
#[derive(Debug, Clone, PartialEq)]
pub struct Fact {
    pub event: Event,
    pub since: Option<Instant>,
    pub until: Option<Instant>,
}

impl Fact {
    pub fn into_event(self, now: Instant) -> Event {
        let seconds = |from: Instant, to: Instant| to.saturating_duration_since(from).as_secs();
        Event {
            lasted_seconds: self.since.map(|since| seconds(since, now)),
            expires_in_seconds: self.until.map(|until| seconds(now, until)),
            ..self.event
        }
    }
}
