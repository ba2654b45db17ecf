//! What an application is told, in JSON as docs/connect.md lists it. Decides nothing.

use std::time::Duration;

use serde::Serialize;

use super::{Leg, Route};

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Notice {
    /// The first leg that carries, or the same one again after a new start.
    TransportSelected {
        proto: Leg,
        #[serde(rename = "elapsed_ms", serialize_with = "millis")]
        elapsed: Duration,
        reason: Reason,
    },
    TransportDegraded {
        proto: Leg,
        reason: Reason,
    },
    TransportSwitched {
        from: Leg,
        to: Leg,
        reason: Reason,
        /// From the last proof of the old leg until the new one was in use; nothing when the old one still worked.
        #[serde(rename = "gap_ms", serialize_with = "millis")]
        gap: Duration,
    },
    PolicyRefused {
        proto: Leg,
        rule: String,
    },
}

/// Why a leg carries now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// It answered in time.
    Answered,
    /// The other one did not.
    NoAnswer,
    /// The mode leaves no other.
    Mode,
    /// The other one was refused, reset or could not send.
    Failed,
    /// Nothing came by the other one.
    Silence,
    Loss,
    /// UDP works again.
    Restored,
    NetworkChanged,
    /// The relay sent its client to another one.
    Redirected,
}

impl Serialize for Leg {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl From<Leg> for Route {
    fn from(leg: Leg) -> Self {
        Route::Only(leg)
    }
}

fn millis<S: serde::Serializer>(time: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.as_millis() as u64)
}
