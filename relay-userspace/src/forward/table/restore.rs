//! Going on with a session of an earlier process, as far as the forward still allows it.

use std::time::{Duration, Instant};

use super::{Client, Session, Table};
use crate::fastpath::SessionId;
use crate::forward::saved::SavedSession;
use crate::tally::Tally;

/// A process that is killed before it has looked at its sessions must not let those end that are in use: the first look is
/// soon, and the next ones too, until the kernel's counters are there.
const FIRST_CHECK: Duration = Duration::from_millis(200);

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
        let check_every = self.check_every().min(FIRST_CHECK);
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
            next_check: saved.deadline.min(now + check_every),
            check_every,
        };
        self.begin(SessionId(saved.id), session);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Command, Rules};
    use super::*;
    use crate::admission::Admission;
    use crate::forward::shared::SharedLimit;

    const IDLE: Duration = Duration::from_secs(60);

    fn saved(now: Instant) -> SavedSession {
        SavedSession {
            id: 7,
            worker: 0,
            forward: "rtp".to_owned(),
            client: "192.0.2.1:1000".parse().unwrap(),
            server: "203.0.113.1:7000".parse().unwrap(),
            destination: "198.51.100.9:5000".parse().unwrap(),
            local: "203.0.113.1:50000".parse().unwrap(),
            since: now,
            deadline: now + IDLE,
        }
    }

    /// How long it goes on under processes that live for five seconds each, at most so long.
    fn goes_on(kernel: impl Fn(Duration) -> u64, at_most: Duration) -> Duration {
        let start = Instant::now();
        let (mut saved, mut now) = (saved(start), start);
        while now - start < at_most {
            let rules = Rules {
                allow: Vec::new(),
                idle: IDLE,
                admission: Admission::default(),
            };
            let limit = Arc::new(SharedLimit::new(1));
            let mut table = Table::new(rules, limit, vec![saved.destination]);
            if table.restore(now, &saved).is_err() {
                break;
            }
            let killed = now + Duration::from_secs(5);
            while let Some(due) = table.poll_timeout().filter(|due| *due < killed) {
                table.handle_timeout(due, |_| kernel(due - start));
            }
            while let Some(command) = table.next_command() {
                if let Command::Extend { deadline, .. } = command {
                    saved.deadline = deadline;
                }
            }
            now = killed;
        }
        now - start
    }

    #[test]
    fn a_session_in_use_outlives_processes_that_live_shorter_than_a_check() {
        let hour = Duration::from_secs(3600);
        assert!(goes_on(|at| at.as_millis() as u64, hour) >= hour);
    }

    #[test]
    fn a_session_nobody_uses_ends_with_its_time() {
        let ended = goes_on(|_| 0, Duration::from_secs(3600));
        assert!(ended <= IDLE + Duration::from_secs(5), "{ended:?}");
    }
}
