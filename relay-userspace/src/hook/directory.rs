//! What is known of user names, and until when: bounded, shared by all workers. No I/O, no clock.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::answer::Answer;
use crate::config::Caps;
use crate::credentials::{Algorithm, LongTermKey};
use crate::police::Limit;

/// An account somebody else vouches for.
#[derive(Debug)]
pub struct Record {
    keys: Option<[LongTermKey; 2]>,
    /// Unix seconds.
    pub expires: Option<u64>,
    pub caps: Caps,
    pub limit: Limit,
}

#[derive(Debug, Clone)]
pub enum Known {
    Allowed(Arc<Record>),
    Denied,
    /// The service could not be asked: nobody is let in.
    Failed,
    Unknown,
}

/// How a lookup ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    Answered(Answer),
    Failed,
}

/// How long what is remembered.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    pub allowed: Duration,
    pub denied: Duration,
    /// So that a service that fails is not asked for every packet.
    pub failed: Duration,
    pub entries: usize,
}

#[derive(Debug)]
pub struct Directory {
    realm: String,
    memory: Memory,
    names: Mutex<Names>,
    counts: [AtomicU64; 3],
}

#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<Arc<str>, (Known, Instant)>,
    by_end: BTreeSet<(Instant, Arc<str>)>,
}

/// Labels of what was answered.
pub const OUTCOMES: [&str; 3] = ["allowed", "denied", "failed"];

impl Record {
    pub fn key(&self, algorithm: Algorithm) -> Option<&LongTermKey> {
        let [md5, sha256] = self.keys.as_ref()?;
        Some(match algorithm {
            Algorithm::Md5 => md5,
            Algorithm::Sha256 => sha256,
        })
    }
}

impl Directory {
    pub fn new(realm: &str, memory: Memory) -> Self {
        Self {
            realm: realm.to_owned(),
            memory,
            names: Mutex::default(),
            counts: Default::default(),
        }
    }

    pub fn look(&self, name: &str, now: Instant) -> Known {
        match self.lock().by_name.get(name) {
            Some((known, until)) if *until > now => known.clone(),
            _ => Known::Unknown,
        }
    }

    pub fn learn(&self, name: &str, outcome: Outcome, now: Instant) {
        let Memory {
            allowed,
            denied,
            failed,
            entries,
        } = self.memory;
        let (known, lasts, count) = match outcome {
            Outcome::Answered(answer) if answer.allow => {
                let lasts = answer.cache_seconds.map_or(allowed, Duration::from_secs);
                (
                    Known::Allowed(Arc::new(self.record(name, answer))),
                    lasts,
                    0,
                )
            }
            Outcome::Answered(answer) => {
                let lasts = answer.cache_seconds.map_or(denied, Duration::from_secs);
                (Known::Denied, lasts, 1)
            }
            Outcome::Failed => (Known::Failed, failed, 2),
        };
        self.counts[count].fetch_add(1, Relaxed);
        // Long enough for the request that waits.
        let until = now + lasts.max(Duration::from_secs(1));
        let name: Arc<str> = name.into();
        let mut names = self.lock();
        names.forget(&name);
        while names.by_name.len() >= entries {
            let Some((_, first)) = names.by_end.pop_first() else {
                break;
            };
            names.by_name.remove(&first);
        }
        names.by_end.insert((until, Arc::clone(&name)));
        names.by_name.insert(name, (known, until));
    }

    /// How lookups ended, as [`OUTCOMES`].
    pub fn counts(&self) -> [u64; 3] {
        std::array::from_fn(|i| self.counts[i].load(Relaxed))
    }

    fn record(&self, name: &str, answer: Answer) -> Record {
        let key =
            |algorithm, password: &str| LongTermKey::new(algorithm, name, &self.realm, password);
        let keys = answer.password.map(|password| {
            [Algorithm::Md5, Algorithm::Sha256].map(|one| key(one, password.expose()))
        });
        Record {
            keys,
            expires: answer.expires,
            caps: answer.caps,
            limit: answer.limit,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Names {
    fn forget(&mut self, name: &Arc<str>) {
        if let Some((_, until)) = self.by_name.remove(name) {
            self.by_end.remove(&(until, Arc::clone(name)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(entries: usize) -> Directory {
        let second = Duration::from_secs(1);
        let memory = Memory {
            allowed: 60 * second,
            denied: 10 * second,
            failed: second,
            entries,
        };
        Directory::new("r", memory)
    }

    fn answer(allow: bool) -> Outcome {
        Outcome::Answered(Answer {
            allow,
            ..Answer::default()
        })
    }

    #[test]
    fn answers_are_remembered_as_long_as_they_hold_and_failures_shortly() {
        let (directory, now) = (directory(9), Instant::now());
        directory.learn("ann", answer(true), now);
        directory.learn("ben", answer(false), now);
        directory.learn("cid", Outcome::Failed, now);
        let at = |name: &str, seconds| directory.look(name, now + Duration::from_secs(seconds));
        assert!(matches!(at("ann", 59), Known::Allowed(_)));
        assert!(matches!(at("ann", 60), Known::Unknown));
        assert!(matches!(at("ben", 9), Known::Denied));
        assert!(matches!(at("ben", 10), Known::Unknown));
        assert!(matches!(at("cid", 0), Known::Failed));
        assert!(matches!(at("cid", 1), Known::Unknown));
        assert_eq!(directory.counts(), [1, 1, 1]);
    }

    #[test]
    fn what_ends_first_gives_way_when_there_are_too_many() {
        let (directory, now) = (directory(3), Instant::now());
        for name in ["a", "b", "c"] {
            directory.learn(name, answer(true), now);
        }
        for n in 0..100 {
            directory.learn(&format!("guess-{n}"), answer(false), now);
        }
        let names = directory.lock();
        assert_eq!((names.by_name.len(), names.by_end.len()), (3, 3));
        assert!(
            names.by_name.contains_key("c"),
            "a guess does not drive out an account"
        );
    }
}
