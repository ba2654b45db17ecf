//! Going on with a session of an earlier process, as far as the forward still allows it.

use std::time::Instant;

use super::{CHECKS_PER_IDLE, Client, Session, Table};
use crate::fastpath::SessionId;
use crate::forward::saved::SavedSession;
use crate::tally::Tally;

/// Why a session does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lapsed {
    #[error("it was idle")]
    Idle,
    #[error("its client may not use the forward any more")]
    NotAllowed,
    #[error("max_sessions is lower now")]
    Full,
    #[error("its client has another session")]
    Taken,
}

impl Table {
    /// Its port is bound again. What the kernel relayed meanwhile shows at the first check.
    pub fn restore(&mut self, now: Instant, saved: &SavedSession) -> Result<(), Lapsed> {
        let client = Client {
            remote: saved.client,
            server: saved.server,
        };
        let source = client.remote.ip().to_canonical();
        let allow = &self.rules.allow;
        if saved.deadline <= now {
            return Err(Lapsed::Idle);
        }
        if !allow.is_empty() && !allow.iter().any(|net| net.contains(&source)) {
            return Err(Lapsed::NotAllowed);
        }
        if self.by_client.contains_key(&client) {
            return Err(Lapsed::Taken);
        }
        if !self.limit.take() {
            return Err(Lapsed::Full);
        }
        let next_check = (now + self.rules.idle / CHECKS_PER_IDLE).min(saved.deadline);
        let session = Session {
            client,
            destination: saved.destination,
            local: saved.local,
            since: saved.since,
            deadline: saved.deadline,
            to_destination: Tally::default(),
            to_client: Tally::default(),
            trouble: None,
            measured: None,
            seen: 0,
            next_check,
        };
        self.begin(SessionId(saved.id), session);
        Ok(())
    }
}
