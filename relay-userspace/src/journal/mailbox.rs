//! Where changes wait for the journal's thread, written as they will stand in the file: so they are copied once, and nothing
//! of them is freed by another thread. Whoever leaves a change is told which commit it will be part of.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::entry::{Entry, Key};
use super::frame::Frame;

/// What waits may be this much longer than twice what each thing was last.
const SLACK: usize = 1 << 20;

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

struct State {
    frame: Frame,
    /// Length at which what was replaced since is taken out: so it is bounded by the things there are.
    full: usize,
    /// The last commit that was begun.
    begun: u64,
    /// The journal's thread sleeps, and nobody has woken it yet.
    idle: bool,
    closed: bool,
    /// Nothing can be written any more; changes are dropped.
    broken: bool,
}

impl Default for Mailbox {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                frame: Frame::default(),
                full: SLACK,
                begun: 0,
                idle: false,
                closed: false,
                broken: false,
            }),
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
        for (key, entry) in changes {
            if let Err(fault) = write(&mut state.frame, &key, entry.as_ref()) {
                tracing::error!(%fault, %key, "an entry cannot be written");
            }
        }
        if state.frame.len() > state.full {
            state.frame.forget_replaced();
            state.full = 2 * state.frame.len() + SLACK;
        }
        let commit = Commit(state.begun + 1);
        let wakes = !state.frame.is_empty() && std::mem::take(&mut state.idle);
        drop(state);
        // A system call, whether somebody sleeps or not.
        if wakes {
            self.news.notify_one();
        }
        Some(commit)
    }

    /// Puts the next batch in place of what is in `frame`; `None` at the end.
    pub fn take(&self, frame: &mut Frame) -> Option<Commit> {
        frame.clear();
        let mut state = self.lock();
        state.idle = true;
        let nothing = |state: &mut State| state.frame.is_empty() && !state.closed;
        let waited = self.news.wait_while(state, nothing);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        state.idle = false;
        if state.frame.is_empty() {
            return None;
        }
        std::mem::swap(&mut state.frame, frame);
        state.full = SLACK;
        state.begun += 1;
        Some(Commit(state.begun))
    }

    pub fn done(&self, commit: Commit) {
        self.committed.send_replace(commit);
    }

    /// Whoever waits, waits no more.
    pub fn give_up(&self) {
        let mut state = self.lock();
        state.broken = true;
        state.frame.clear();
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
        Commit(state.begun + u64::from(!state.frame.is_empty()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn write(
    frame: &mut Frame,
    key: &Key,
    entry: Option<&Entry>,
) -> Result<(), rmp_serde::encode::Error> {
    frame.add(key, |bytes| {
        entry.map_or(Ok(()), |entry| entry.write(bytes))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::police::{Change, Limit};

    fn limit(session: u64, packets: u64) -> Option<Entry> {
        Some(Entry::Limit(super::super::GivenLimit {
            of: Change::Session(session),
            limit: Limit {
                packets_per_second: Some(packets),
                ..Limit::NONE
            },
        }))
    }

    #[test]
    fn what_waits_is_bounded_by_the_things_there_are_however_often_they_change() {
        let mailbox = Mailbox::default();
        for round in 0..2_000 {
            for session in 0..20 {
                let key = Key::Limit(Change::Session(session));
                mailbox.put([(key, limit(session, round))]);
            }
            assert!(mailbox.lock().frame.len() < SLACK + (64 << 10));
        }
        let mut frame = Frame::default();
        assert_eq!(mailbox.take(&mut frame), Some(Commit(1)));
        frame.forget_replaced();
        assert!(frame.len() < 20 * 200, "{}", frame.len());
        mailbox.close();
        assert_eq!(mailbox.take(&mut frame), None);
    }
    #[test]
    fn a_change_is_part_of_the_commit_it_was_told_and_of_none_before() {
        let mailbox = Mailbox::default();
        let put = |session| {
            let key = Key::Limit(Change::Session(session));
            mailbox.put([(key, limit(session, 1))])
        };
        let mut frame = Frame::default();
        assert_eq!((put(1), put(2)), (Some(Commit(1)), Some(Commit(1))));
        assert_eq!(mailbox.last(), Commit(1));
        assert_eq!(mailbox.take(&mut frame), Some(Commit(1)));
        // It is being written: what comes now goes with the next.
        assert_eq!(mailbox.last(), Commit(1));
        assert_eq!(put(3), Some(Commit(2)));
        assert_eq!(mailbox.take(&mut frame), Some(Commit(2)));
        mailbox.give_up();
        assert_eq!(put(4), None);
    }
}
