//! How many questions there may be: at the same time, of one source prefix, in a second. Names are whatever strangers say they are.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use crate::config;
use crate::turn::Flood;

/// Of all questions, what the users of one prefix may have under way.
const PART_OF_ONE_PREFIX: usize = 4;

/// Labels of what was not asked.
pub const REFUSALS: [&str; 2] = ["busy", "rate"];

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("too many questions are under way")]
    Busy,
    #[error("too many questions a second from one source prefix")]
    Rate,
}

/// What becomes of somebody's wish to know about a name.
#[derive(Debug)]
pub enum Begun {
    /// Closed when there is an outcome; the sender ends it.
    Asked(watch::Receiver<()>, watch::Sender<()>),
    /// Somebody asked already.
    Joined(watch::Receiver<()>),
    Answered,
    Refused(Refusal),
}

pub struct Bounds {
    most: usize,
    per_prefix: Flood,
    under_way: Mutex<UnderWay>,
    refused: [AtomicU64; 2],
}

#[derive(Default)]
struct UnderWay {
    by_name: HashMap<Arc<str>, watch::Receiver<()>>,
    by_prefix: HashMap<u64, usize>,
}

impl Bounds {
    pub fn new(hook: &config::Hook, seed: [u8; 32]) -> Self {
        Self {
            most: hook.max_concurrent,
            per_prefix: Flood::new(hook.questions_per_second, seed),
            under_way: Mutex::default(),
            refused: Default::default(),
        }
    }

    /// Questions at the same time.
    pub fn most(&self) -> usize {
        self.most
    }

    /// `prefix`: whose client it is; `None`: the relay's own wish, of which there are as many as sessions. `answered` is
    /// asked again here: an answer may have come since the caller looked, and what is learned is known before its question ends.
    pub fn begin(
        &self,
        name: &Arc<str>,
        prefix: Option<u64>,
        answered: impl Fn() -> bool,
    ) -> Begun {
        let mut under_way = self.lock();
        if let Some(told) = under_way.by_name.get(name) {
            return Begun::Joined(told.clone());
        }
        if answered() {
            return Begun::Answered;
        }
        if let Err(refusal) = self.admit(&under_way, prefix) {
            self.refused[refusal as usize].fetch_add(1, Relaxed);
            return Begun::Refused(refusal);
        }
        let (tell, told) = watch::channel(());
        under_way.by_name.insert(Arc::clone(name), told.clone());
        if let Some(prefix) = prefix {
            *under_way.by_prefix.entry(prefix).or_default() += 1;
        }
        Begun::Asked(told, tell)
    }

    pub fn end(&self, name: &str, prefix: Option<u64>) {
        let mut under_way = self.lock();
        under_way.by_name.remove(name);
        let Some(prefix) = prefix else { return };
        if let Some(count) = under_way.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                under_way.by_prefix.remove(&prefix);
            }
        }
    }

    /// Questions that were not asked, as [`REFUSALS`].
    pub fn refused(&self) -> [u64; 2] {
        std::array::from_fn(|i| self.refused[i].load(Relaxed))
    }

    /// The rate is taken last: a question that is refused for another reason costs nothing of it.
    fn admit(&self, under_way: &UnderWay, prefix: Option<u64>) -> Result<(), Refusal> {
        if under_way.by_name.len() >= self.most {
            return Err(Refusal::Busy);
        }
        let Some(prefix) = prefix else { return Ok(()) };
        let of_prefix = under_way.by_prefix.get(&prefix).copied().unwrap_or(0);
        if of_prefix >= self.most.div_ceil(PART_OF_ONE_PREFIX) {
            return Err(Refusal::Busy);
        }
        match self.per_prefix.admit(prefix, Instant::now()) {
            true => Ok(()),
            false => Err(Refusal::Rate),
        }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
