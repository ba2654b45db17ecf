//! Where changes wait for the journal's thread: each thing once, as it was last. Whoever leaves a change is told which
//! commit it will be part of.

use std::collections::HashMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::entry::{Entry, Key};

/// `None`: it is gone.
pub type Changes = HashMap<Key, Option<Entry>>;

/// Commits are numbered in their order; what is part of one is in the file when [`Journal::committed`] has reached it.
///
/// [`Journal::committed`]: super::Journal::committed
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Commit(u64);

#[cfg(test)]
impl Commit {
    pub fn numbered(number: u64) -> Self {
        Self(number)
    }
}

pub struct Mailbox {
    state: Mutex<State>,
    news: Condvar,
    committed: watch::Sender<Commit>,
}

/// Bounded by the number of things there are, since each is in it once.
#[derive(Default)]
struct State {
    changes: Changes,
    /// The last commit that was begun.
    begun: u64,
    closed: bool,
    /// Nothing can be written any more; changes are dropped.
    broken: bool,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            news: Condvar::new(),
            committed: watch::Sender::new(Commit(0)),
        }
    }
}

impl Mailbox {
    /// `None`: of a journal that cannot be written nothing is to be waited for.
    pub fn put(&self, changes: impl IntoIterator<Item = (Key, Option<Entry>)>) -> Option<Commit> {
        let mut state = self.lock();
        if state.broken {
            return None;
        }
        state.changes.extend(changes);
        self.news.notify_one();
        Some(Commit(state.begun + 1))
    }

    /// The next batch; `None` at the end.
    pub fn take(&self) -> Option<(Commit, Changes)> {
        let idle = |state: &mut State| state.changes.is_empty() && !state.closed;
        let waited = self.news.wait_while(self.lock(), idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        if state.changes.is_empty() {
            return None;
        }
        state.begun += 1;
        Some((Commit(state.begun), std::mem::take(&mut state.changes)))
    }

    pub fn done(&self, commit: Commit) {
        self.committed.send_replace(commit);
    }

    /// Whoever waits, waits no more.
    pub fn give_up(&self) {
        let mut state = self.lock();
        state.broken = true;
        state.changes.clear();
        self.committed.send_replace(Commit(u64::MAX));
    }

    pub fn close(&self) {
        self.lock().closed = true;
        self.news.notify_one();
    }

    pub fn committed(&self) -> watch::Receiver<Commit> {
        self.committed.subscribe()
    }

    /// The commit after which everything so far is in the file.
    pub fn last(&self) -> Commit {
        let state = self.lock();
        Commit(state.begun + u64::from(!state.changes.is_empty()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
