//! What `relay connect` prints: a line for each event, for people or as JSON (docs/connect.md).

use std::net::SocketAddr;

use serde::Serialize;

use crate::cli::exit::Failure;
use crate::cli::output;
use crate::client::session::Stats;
use crate::mode::Notice;

#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Saying {
    Notice {
        #[serde(flatten)]
        notice: Notice,
        #[serde(skip_serializing_if = "Option::is_none")]
        lost: Option<u64>,
    },
    Own(Own),
}

/// What a session does not say.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Own {
    Listening {
        udp: Vec<SocketAddr>,
        tcp: Vec<SocketAddr>,
    },
    /// Peers see this address.
    Ready {
        relayed: SocketAddr,
    },
    Stats {
        sent: u64,
        received: u64,
        dropped: u64,
    },
    Reconnecting {
        wait_ms: u64,
        reason: String,
    },
    /// For a token; whatever is allocated from now on uses it.
    CredentialRenewed {
        ttl_ms: u64,
    },
    /// It is asked for again.
    CredentialRefused {
        wait_ms: u64,
        reason: String,
    },
}

impl From<Own> for Saying {
    fn from(own: Own) -> Self {
        Self::Own(own)
    }
}

impl Saying {
    pub fn notice(notice: Notice, lost: u64) -> Self {
        let switched = matches!(notice, Notice::TransportSwitched { .. });
        Self::Notice {
            lost: switched.then_some(lost),
            notice,
        }
    }

    pub fn stats(stats: Stats) -> Self {
        Self::Own(Own::Stats {
            sent: stats.traffic.sent,
            received: stats.traffic.received,
            dropped: stats.dropped,
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Teller {
    json: bool,
}

impl Teller {
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    pub fn say(&self, saying: impl Into<Saying>) -> Result<(), Failure> {
        let saying = saying.into();
        match self.json {
            true => output::json(&saying),
            false => output::line(&describe(&saying)),
        }
    }
}

/// The name of the event, then its fields as they are in JSON: one list to document.
fn describe(saying: &Saying) -> String {
    let value = serde_json::to_value(saying).unwrap_or_default();
    let fields = value.as_object().into_iter().flatten();
    let mut line = value["event"].as_str().unwrap_or_default().to_owned();
    for (name, value) in fields.filter(|(name, _)| *name != "event") {
        line.push_str(&match value.as_str() {
            Some(text) => format!(" {name}={text}"),
            None => format!(" {name}={value}"),
        });
    }
    output::harmless(&line)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::mode::{Leg, Reason};

    #[test]
    fn a_switch_is_told_with_its_gap_and_what_was_lost() {
        let notice = Notice::TransportSwitched {
            from: Leg::Udp,
            to: Leg::Tcp,
            reason: Reason::Silence,
            gap: Duration::from_millis(1530),
        };
        let saying = Saying::notice(notice, 7);
        let json = serde_json::to_value(&saying).unwrap();
        let expected = serde_json::json!({
            "event": "transport-switched", "from": "udp", "to": "tcp",
            "reason": "silence", "gap_ms": 1530, "lost": 7,
        });
        assert_eq!(json, expected);
        let line = describe(&saying);
        assert!(line.starts_with("transport-switched "), "{line}");
        assert!(
            line.contains(" gap_ms=1530") && line.contains(" lost=7"),
            "{line}"
        );
    }

    #[test]
    fn what_a_relay_says_cannot_drive_the_terminal() {
        let rule = "\u{1b}[2J".to_owned();
        let notice = Notice::PolicyRefused {
            proto: Leg::Udp,
            rule,
        };
        let line = describe(&Saying::notice(notice, 0));
        assert_eq!(line, "policy-refused proto=udp rule=\\u{1b}[2J");
    }
}
