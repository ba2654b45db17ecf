//! Which meters are in force, and what changes them while sessions run.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::budget::{Levels, Member};
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

pub(super) struct State {
    limits: Limits,
    /// Limits given to single sessions that run, or ran: no other ever has their id.
    single: HashMap<SessionId, Limit>,
    users: HashMap<Arc<str>, Weak<Metered>>,
    sessions: HashMap<SessionId, Weak<Metered>>,
    /// Of allocations, for what goes outside their channels.
    others: HashMap<u64, Weak<Metered>>,
    next_other: u64,
    /// The group of secrets of users that have meters.
    groups: HashMap<Arc<str>, Arc<str>>,
    levels: Levels,
    /// Limits of users that have meters, set by whoever vouches for them.
    granted: HashMap<Arc<str>, Limit>,
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

/// Users, what they share, and what each group does.
pub(super) type Shared = (Vec<Member>, Limit, Vec<(Arc<str>, Limit)>);

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
            groups: HashMap::new(),
            levels: Levels::default(),
            granted: HashMap::new(),
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

    /// For a session of `user`, or of nobody in particular; `guess` as [`FastPath::guess`](crate::fastpath::FastPath::guess)
    /// says.
    pub fn session(&self, id: SessionId, user: Option<&str>, guess: Option<u32>) -> Pass {
        self.enter(Key::Session(id), user, guess)
    }

    /// For what an allocation relays outside its channels, which the kernel never does; `guess` is for the sessions to come.
    pub fn allocation(&self, user: &str, guess: Option<u32>) -> Pass {
        let key = {
            let mut state = self.inner.lock();
            state.next_other += 1;
            Key::Other(state.next_other)
        };
        self.enter(key, Some(user), guess)
    }

    /// Which secrets `user` came with last, and which limit came with it; call it before the user's first session.
    pub fn belongs(&self, user: &str, group: Option<&Arc<str>>, granted: Limit) {
        let mut state = self.inner.lock();
        match granted {
            Limit::NONE => drop(state.granted.remove(user)),
            granted => drop(state.granted.insert(user.into(), granted)),
        }
        match group {
            Some(group) => drop(state.groups.insert(user.into(), Arc::clone(group))),
            None => drop(state.groups.remove(user)),
        }
    }

    /// Who shares what, in this round; `None`: nothing is shared.
    pub(super) fn members(&self) -> Option<Shared> {
        let state = self.inner.lock();
        if !state.limits.is_shared() {
            return None;
        }
        let member = |(name, metered): (&Arc<str>, &Weak<Metered>)| {
            Some(Member {
                metered: metered.upgrade()?,
                own: state.own_limit(name),
                group: state.groups.get(name).cloned(),
            })
        };
        let members = state.users.iter().filter_map(member).collect();
        let groups = state.limits.groups.iter();
        let groups = groups.map(|(name, limit)| (name.as_str().into(), *limit));
        Some((members, state.limits.total, groups.collect()))
    }

    /// For users that come before the next round.
    pub(super) fn keep(&self, levels: Levels) {
        self.inner.lock().levels = levels;
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
            state.rated()
        };
        self.rate(concerned);
        true
    }

    /// Every limit but those of single sessions, at once on everything that runs.
    pub fn replace(&self, limits: Limits) {
        let concerned = {
            let mut state = self.inner.lock();
            state.limits = limits;
            state.rated()
        };
        self.rate(concerned);
    }

    fn rate(&self, concerned: Vec<(Arc<Metered>, Limit)>) {
        let burst = self.limits().burst;
        for (metered, limit) in concerned {
            metered.set(limit.rate(burst, self.inner.clock.hz()));
        }
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
                Some((name.to_string(), state.own_limit(name), metered.upgrade()?))
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

    fn enter(&self, key: Key, user: Option<&str>, guess: Option<u32>) -> Pass {
        let user = user.map(|name| self.join(name, guess));
        let session = Arc::new(self.metered(key.clone(), user.as_deref(), guess));
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

    fn join(&self, name: &str, guess: Option<u32>) -> Arc<Metered> {
        let known = || self.inner.lock().users.get(name).and_then(Weak::upgrade);
        if let Some(metered) = known() {
            return metered;
        }
        let name: Arc<str> = name.into();
        let metered = Arc::new(self.metered(Key::User(Arc::clone(&name)), None, guess));
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

    fn metered(&self, key: Key, user: Option<&Metered>, guess: Option<u32>) -> Metered {
        let (limit, burst) = {
            let state = self.inner.lock();
            (state.limit_of(&key), state.limits.burst)
        };
        let metered = Metered::new(Arc::clone(&self.inner), key, user, guess);
        metered.set(limit.rate(burst, self.inner.clock.hz()));
        metered
    }
}

impl State {
    /// Every meter in force and its limit. Upgraded under the lock: to be dropped after it.
    fn rated(&self) -> Vec<(Arc<Metered>, Limit)> {
        let known = |weak: &Weak<Metered>| weak.upgrade();
        let mut all: Vec<_> = self.users.values().filter_map(known).collect();
        all.extend(self.sessions.values().filter_map(known));
        all.extend(self.others.values().filter_map(known));
        let rated = |metered: Arc<Metered>| {
            let limit = self.limit_of(metered.key());
            (metered, limit)
        };
        all.into_iter().map(rated).collect()
    }

    /// The operator's word for this user, else what came with it, else everybody's.
    fn own_limit(&self, name: &str) -> Limit {
        let Limits { users, user, .. } = &self.limits;
        let own = users.get(name).or_else(|| self.granted.get(name));
        own.copied().unwrap_or(*user)
    }

    /// What a user may have now: its own limit, and its part of what is shared.
    fn given_to(&self, name: &Arc<str>) -> Limit {
        let own = self.own_limit(name);
        if !self.limits.is_shared() {
            return own;
        }
        let group = self.groups.get(name);
        let whole = group.and_then(|group| self.limits.groups.get(&**group));
        let own = own.least(whole.copied().unwrap_or(Limit::NONE));
        let total = self.limits.total.least(self.levels.total);
        self.levels.least(own, group, total)
    }

    pub(super) fn burst(&self) -> Duration {
        self.limits.burst
    }

    fn limit_of(&self, key: &Key) -> Limit {
        match key {
            Key::User(name) => self.given_to(name),
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
                    state.groups.remove(name);
                    state.granted.remove(name);
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

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
