//! Who asks: one question about one name at a time, so many at the same time and no more. Whoever waits is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::caller::Caller;
pub use super::caller::HookError;
use super::directory::{Directory, Memory, Outcome};
use crate::config;

/// A service that failed is asked about the same name no earlier.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);
/// Of all questions, what the users of one prefix may have under way.
const PART_OF_ONE_PREFIX: usize = 4;

/// Handle; clones are the same.
#[derive(Clone)]
pub struct Hook {
    inner: Arc<Inner>,
}

struct Inner {
    config: config::Hook,
    caller: Caller,
    directory: Arc<Directory>,
    most: usize,
    under_way: Mutex<UnderWay>,
    /// Workers have runtimes of their own, which end before this one.
    runtime: Handle,
}

#[derive(Default)]
struct UnderWay {
    /// Closed when there is an outcome.
    by_name: HashMap<Arc<str>, watch::Receiver<()>>,
    by_prefix: HashMap<u64, usize>,
}

impl Hook {
    /// Inside the runtime that is to ask.
    pub fn new(hook: &config::Hook, realm: &str) -> Result<Self, HookError> {
        let memory = Memory {
            allowed: hook.cache_ttl,
            denied: hook.negative_ttl,
            failed: AFTER_A_FAILURE,
            entries: hook.cache_entries,
        };
        let inner = Inner {
            config: hook.clone(),
            caller: Caller::new(hook, realm)?,
            directory: Arc::new(Directory::new(realm, memory)),
            most: hook.max_concurrent,
            under_way: Mutex::default(),
            runtime: Handle::current(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    pub fn is_as(&self, config: &config::Hook) -> bool {
        self.inner.config == *config
    }

    pub fn directory(&self) -> &Arc<Directory> {
        &self.inner.directory
    }

    /// Returns when the directory knows `name`, or when too many questions are under way for one more.
    pub async fn ask(&self, name: &str, prefix: u64) {
        if let Some(mut told) = self.begin(name, prefix) {
            // An error is the sender's end: that is what is waited for.
            let _ = told.changed().await;
        }
    }

    /// All of them, as many at a time as may be: for sessions that are to go on.
    pub async fn ask_about(&self, names: impl Iterator<Item = &str>) {
        let names: std::collections::BTreeSet<_> = names.collect();
        let numbered = (0u64..).zip(names);
        let asking = numbered.map(|(prefix, name)| self.ask(name, prefix));
        futures_util::stream::iter(asking)
            .buffer_unordered(self.inner.most)
            .for_each(|()| std::future::ready(()))
            .await;
    }

    fn begin(&self, name: &str, prefix: u64) -> Option<watch::Receiver<()>> {
        let mut under_way = self.inner.lock();
        if let Some(told) = under_way.by_name.get(name) {
            return Some(told.clone());
        }
        let of_prefix = under_way.by_prefix.get(&prefix).copied().unwrap_or(0);
        let most_of_prefix = self.inner.most.div_ceil(PART_OF_ONE_PREFIX);
        if under_way.by_name.len() >= self.inner.most || of_prefix >= most_of_prefix {
            tracing::warn!(name, "auth.hook: too many questions are under way");
            return None;
        }
        let (tell, told) = watch::channel(());
        let name: Arc<str> = name.into();
        under_way.by_name.insert(Arc::clone(&name), told.clone());
        *under_way.by_prefix.entry(prefix).or_default() += 1;
        let inner = Arc::clone(&self.inner);
        self.inner.runtime.spawn(async move {
            inner.question(&name).await;
            inner.lock().end(&name, prefix);
            drop(tell);
        });
        Some(told)
    }
}

impl Inner {
    async fn question(&self, name: &str) {
        let outcome = match self.caller.ask(name).await {
            Ok(answer) => Outcome::Answered(answer),
            Err(why) => {
                tracing::warn!(name, %why, "auth.hook does not answer: the user is not let in");
                Outcome::Failed
            }
        };
        self.directory.learn(name, outcome, Instant::now());
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.under_way
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay {
    fn end(&mut self, name: &str, prefix: u64) {
        self.by_name.remove(name);
        if let Some(count) = self.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&prefix);
            }
        }
    }
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hook").field(&self.inner.directory).finish()
    }
}
