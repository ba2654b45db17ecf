//! Sessions an earlier process left, until their forward is there again. Restores nothing itself.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use crate::config::Forward;
use crate::forward::destination::is_literal;
use crate::forward::saved::SavedSession;
use crate::policy::PeerPolicy;

/// No forward has this name.
const NOBODYS: &str = "";

pub struct Inherited {
    sessions: Mutex<Vec<SavedSession>>,
}

impl Inherited {
    pub fn new(sessions: Vec<SavedSession>) -> Inherited {
        Inherited {
            sessions: Mutex::new(sessions),
        }
    }

    /// Those of `forward` that still lead where it does. A name may stand for another address by now: then its
    /// sessions stay where they are while that may be reached.
    pub fn take(
        &self,
        forward: &Forward,
        targets: &[SocketAddr],
        policy: &PeerPolicy,
    ) -> Vec<SavedSession> {
        let mut all = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let own = |session: &mut SavedSession| session.forward == forward.name;
        let leads_there = |session: &SavedSession| {
            let to = session.destination;
            let named = !is_literal(&forward.to) && policy.check(to).is_ok();
            session.server.port() == forward.listen.port() && (targets.contains(&to) || named)
        };
        let (go_on, lapsed): (Vec<_>, Vec<_>) = all.extract_if(.., own).partition(leads_there);
        all.extend(lapsed.into_iter().map(|session| SavedSession {
            forward: NOBODYS.to_owned(),
            ..session
        }));
        go_on
    }

    /// Ids of those nobody will come for, once every forward is there.
    pub fn rest(&self) -> Vec<u64> {
        let mut all = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        all.drain(..).map(|session| session.id).collect()
    }
}

pub fn of_worker(all: &[SavedSession], worker: usize) -> Vec<SavedSession> {
    let own = all.iter().filter(|session| session.worker == worker);
    own.cloned().collect()
}
