//! Which meters are in force, and what changes them while sessions run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde::{Deserialize, Serialize};

use super::clock::MeterClock;
use super::limit::{Limit, Limits};
use super::metered::{Metered, Pass};
use super::table::MeterTable;
use crate::fastpath::SessionId;

/// Limits of sessions that ended, kept at most.
const ENDED: usize = 1024;

/// Handle; clones are the same.
#[derive(Clone)]
pub struct Police {
    inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) table: Option<Arc<MeterTable>>,
    pub(super) clock: Arc<MeterClock>,
    state: Mutex<State>,
}

struct State {
    limits: Limits,
    /// Limits given to single sessions that run, or ran: no other ever has their id.
    single: HashMap<SessionId, Limit>,
    users: HashMap<Arc<str>, Weak<Metered>>,
    sessions: HashMap<SessionId, Weak<Metered>>,
    /// Of allocations, for what goes outside their channels.
    others: HashMap<u64, Weak<Metered>>,
    next_other: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Key {
    User(Arc<str>),
    Session(SessionId),
    Other(u64),
}

/// Whose limit changes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// Every session that has no limit of its own.
    Sessions,
    /// Every user that has no limit of its own.
    Users,
    User(String),
    /// A session that runs.
    Session(u64),
}

/// A user who has sessions now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserMeter {
    pub user: String,
    pub limit: Limit,
    /// Packets refused from and to the user since the first of these sessions.
    pub dropped: [u64; 2],
}

impl Police {
    /// Over the kernel's meters, or for userspace alone.
    pub fn new(limits: Limits, kernel: Option<(Arc<MeterTable>, Arc<MeterClock>)>) -> Self {
        let (table, clock) = match kernel {
            Some((table, clock)) => (Some(table), clock),
            None => (None, Arc::new(MeterClock::own())),
        };
        let state = State {
            limits,
            single: HashMap::new(),
            users: HashMap::new(),
            sessions: HashMap::new(),
            others: HashMap::new(),
            next_other: 0,
        };
        let inner = Inner {
            table,
            clock,
            state: Mutex::new(state),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// For a session of `user`, or of nobody in particular.
    pub fn session(&self, id: SessionId, user: Option<&str>) -> Pass {
        self.enter(Key::Session(id), user)
    }

    /// For what an allocation relays outside its channels, which the kernel never does.
    pub fn allocation(&self, user: &str) -> Pass {
        let key = {
            let mut state = self.inner.lock();
            state.next_other += 1;
            Key::Other(state.next_other)
        };
        self.enter(key, Some(user))
    }

    /// Takes effect at once on everything that runs. False: no session of that id runs.
    pub fn change(&self, change: Change, limit: Limit) -> bool {
        let concerned = {
            let mut state = self.inner.lock();
            match change {
                Change::Sessions => state.limits.session = limit,
                Change::Users => state.limits.user = limit,
                Change::User(name) => drop(state.limits.users.insert(name, limit)),
                Change::Session(id) => {
                    let id = SessionId(id);
                    if !state.sessions.contains_key(&id) {
                        return false;
                    }
                    let State {
                        single, sessions, ..
                    } = &mut *state;
                    if single.len() > ENDED + sessions.len() {
                        single.retain(|id, _| sessions.contains_key(id));
                    }
                    single.insert(id, limit);
                }
            }
            let known = |weak: &Weak<Metered>| weak.upgrade();
            let mut all: Vec<_> = state.users.values().filter_map(known).collect();
            all.extend(state.sessions.values().filter_map(known));
            all.extend(state.others.values().filter_map(known));
            let rated = |metered: Arc<Metered>| {
                let limit = state.limit_of(metered.key());
                (metered, limit)
            };
            all.into_iter().map(rated).collect::<Vec<_>>()
        };
        let burst = self.limits().burst;
        for (metered, limit) in concerned {
            metered.set(limit.rate(burst, self.inner.clock.hz()));
        }
        true
    }

    /// The limit of a session that is about to go on.
    pub fn expect(&self, session: SessionId, limit: Limit) {
        self.inner.lock().single.insert(session, limit);
    }

    pub fn runs(&self, session: SessionId) -> bool {
        self.inner.lock().sessions.contains_key(&session)
    }

    pub fn limits(&self) -> Limits {
        self.inner.lock().limits.clone()
    }

    /// The limit of a session that runs.
    pub fn limit_of(&self, session: SessionId) -> Limit {
        self.inner.lock().limit_of(&Key::Session(session))
    }

    /// Users with sessions, by name.
    pub fn users(&self) -> Vec<UserMeter> {
        let known: Vec<_> = {
            let state = self.inner.lock();
            let user = |(name, metered): (&Arc<str>, &Weak<Metered>)| {
                Some((
                    name.to_string(),
                    state.limits.of_user(name),
                    metered.upgrade()?,
                ))
            };
            state.users.iter().filter_map(user).collect()
        };
        let meter = |(user, limit, metered): (String, Limit, Arc<Metered>)| UserMeter {
            user,
            limit,
            dropped: metered.dropped(),
        };
        let mut users: Vec<_> = known.into_iter().map(meter).collect();
        users.sort_by(|a, b| a.user.cmp(&b.user));
        users
    }

    fn enter(&self, key: Key, user: Option<&str>) -> Pass {
        let user = user.map(|name| self.join(name));
        let session = Arc::new(self.metered(key.clone()));
        let weak = Arc::downgrade(&session);
        let mut state = self.inner.lock();
        match key {
            Key::Session(id) => drop(state.sessions.insert(id, weak)),
            Key::Other(n) => drop(state.others.insert(n, weak)),
            Key::User(_) => {}
        }
        drop(state);
        Pass { session, user }
    }

    fn join(&self, name: &str) -> Arc<Metered> {
        let known = || self.inner.lock().users.get(name).and_then(Weak::upgrade);
        if let Some(metered) = known() {
            return metered;
        }
        let name: Arc<str> = name.into();
        let metered = Arc::new(self.metered(Key::User(Arc::clone(&name))));
        let mut state = self.inner.lock();
        // Two workers may be here: the first one's is everybody's.
        let first = state.users.get(&name).and_then(Weak::upgrade);
        let metered = match first {
            Some(first) => {
                drop(state);
                return first;
            }
            None => metered,
        };
        state.users.insert(name, Arc::downgrade(&metered));
        metered
    }

    fn metered(&self, key: Key) -> Metered {
        let (limit, burst) = {
            let state = self.inner.lock();
            (state.limit_of(&key), state.limits.burst)
        };
        let metered = Metered::new(Arc::clone(&self.inner), key);
        metered.set(limit.rate(burst, self.inner.clock.hz()));
        metered
    }
}

impl State {
    fn limit_of(&self, key: &Key) -> Limit {
        match key {
            Key::User(name) => self.limits.of_user(name),
            Key::Session(id) => self.single.get(id).copied().unwrap_or(self.limits.session),
            Key::Other(_) => self.limits.session,
        }
    }
}

impl Inner {
    /// The last holder of a meter is gone; somebody may have made a new one of the same name by now.
    pub(super) fn forget(&self, key: &Key) {
        let gone = |weak: Option<&Weak<Metered>>| weak.is_some_and(|weak| weak.strong_count() == 0);
        let mut state = self.lock();
        match key {
            Key::User(name) => {
                if gone(state.users.get(name)) {
                    state.users.remove(name);
                }
            }
            Key::Session(id) => {
                if gone(state.sessions.get(id)) {
                    // Its limit stays: a session whose client moves is between two meters.
                    state.sessions.remove(id);
                }
            }
            Key::Other(n) => drop(state.others.remove(n)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
