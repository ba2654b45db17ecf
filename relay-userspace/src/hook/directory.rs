//! What is known of user names, and until when: bounded, shared by all workers. No I/O, no clock.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::answer::Answer;
use super::shelf::Shelf;
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
    /// Of accounts, and as many of refused names.
    pub entries: usize,
}

#[derive(Debug)]
pub struct Directory {
    realm: String,
    memory: Memory,
    names: Mutex<Names>,
    counts: [AtomicU64; 3],
}

/// Apart, so that names strangers make up never drive out an account.
#[derive(Debug)]
struct Names {
    accounts: Shelf<Arc<Record>>,
    /// Whether the service said so; else it failed.
    refused: Shelf<bool>,
}

/// Labels of what was answered.
pub const OUTCOMES: [&str; 3] = ["allowed", "denied", "failed"];

impl Record {
    /// Of an account that ends then, whom a shared secret vouches for.
    #[cfg(test)]
    pub fn until(expires: Option<u64>) -> Self {
        Self {
            keys: None,
            expires,
            caps: Caps::default(),
            limit: Limit::NONE,
        }
    }

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
            names: Mutex::new(Names {
                accounts: Shelf::new(memory.entries),
                refused: Shelf::new(memory.entries),
            }),
            counts: Default::default(),
        }
    }

    pub fn look(&self, name: &str, now: Instant) -> Known {
        let names = self.lock();
        if let Some(record) = names.accounts.get(name, now) {
            return Known::Allowed(Arc::clone(record));
        }
        match names.refused.get(name, now) {
            Some(true) => Known::Denied,
            Some(false) => Known::Failed,
            None => Known::Unknown,
        }
    }

    pub fn learn(&self, name: &str, outcome: Outcome, now: Instant) {
        let Memory {
            allowed,
            denied,
            failed,
            ..
        } = self.memory;
        let (record, lasts, count) = match outcome {
            Outcome::Answered(answer) => {
                let said = answer.cache_seconds.map(Duration::from_secs);
                match answer.allow {
                    true => {
                        let record = Arc::new(self.record(name, answer));
                        (Some(record), said.unwrap_or(allowed), 0)
                    }
                    false => (None, said.unwrap_or(denied), 1),
                }
            }
            Outcome::Failed => (None, failed, 2),
        };
        self.counts[count].fetch_add(1, Relaxed);
        // Long enough for the request that waits.
        let until = now + lasts.max(Duration::from_secs(1));
        let name: Arc<str> = name.into();
        let Names { accounts, refused } = &mut *self.lock();
        match record {
            Some(record) => {
                refused.remove(&name);
                accounts.put(name, record, until);
            }
            None => {
                accounts.remove(&name);
                refused.put(name, count == 1, until);
            }
        }
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
    fn names_that_are_refused_never_drive_out_an_account() {
        let (directory, now) = (directory(3), Instant::now());
        let after = |seconds| now + Duration::from_secs(seconds);
        directory.learn("ann", answer(true), now);
        // What is refused now ends later than what was allowed long ago.
        for n in 0..100 {
            directory.learn(&format!("guess-{n}"), answer(false), after(55));
        }
        let at = |name: &str| directory.look(name, after(56));
        assert!(matches!(at("ann"), Known::Allowed(_)));
        assert!(matches!(at("guess-99"), Known::Denied));
        assert!(matches!(at("guess-0"), Known::Unknown));
    }

    #[test]
    fn the_last_word_on_a_name_counts() {
        let (directory, now) = (directory(3), Instant::now());
        for (outcome, denied) in [(answer(true), false), (answer(false), true)] {
            directory.learn("ann", outcome, now);
            let known = directory.look("ann", now);
            assert_eq!(matches!(known, Known::Denied), denied);
        }
        directory.learn("ann", answer(true), now);
        assert!(matches!(directory.look("ann", now), Known::Allowed(_)));
    }
}
