//! Who asks: one question about one name at a time, so many at the same time and no more. Whoever waits is told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::caller::Caller;
pub use super::caller::HookError;
use super::directory::{Directory, Known, Memory, Outcome};
use crate::config;
use crate::turn::Flood;

/// A service that failed is asked about the same name no earlier.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);
/// Of all questions, what the users of one prefix may have under way.
const PART_OF_ONE_PREFIX: usize = 4;
/// Names are whatever strangers say they are: without it they would write the log.
const WARNINGS_PER_SECOND: u32 = 2;

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
    warnings: Flood,
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
            warnings: Flood::of_all(WARNINGS_PER_SECOND, [0; 32]),
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

    /// An answer may have come since the caller looked: what is learned is in the directory before its question ends.
    fn answered(&self, name: &str) -> bool {
        let known = self.inner.directory.look(name, Instant::now());
        !matches!(known, Known::Unknown)
    }

    fn begin(&self, name: &str, prefix: u64) -> Option<watch::Receiver<()>> {
        let mut under_way = self.inner.lock();
        if let Some(told) = under_way.by_name.get(name) {
            return Some(told.clone());
        }
        if self.answered(name) {
            return None;
        }
        let of_prefix = under_way.by_prefix.get(&prefix).copied().unwrap_or(0);
        let most_of_prefix = self.inner.most.div_ceil(PART_OF_ONE_PREFIX);
        if under_way.by_name.len() >= self.inner.most || of_prefix >= most_of_prefix {
            drop(under_way);
            if self.inner.may_warn() {
                tracing::warn!(name, "auth.hook: too many questions are under way");
            }
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
                if self.may_warn() {
                    tracing::warn!(name, %why, "auth.hook does not answer: the user is not let in");
                }
                Outcome::Failed
            }
        };
        self.directory.learn(name, outcome, Instant::now());
    }

    fn may_warn(&self) -> bool {
        self.warnings.admit((), Instant::now())
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

#[cfg(test)]
mod tests {
    use std::io::{Result, Write};

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Write for Log {
        fn write(&mut self, bytes: &[u8]) -> Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> Result<()> {
            Ok(())
        }
    }

    fn hook(most: usize) -> Hook {
        let minute = Duration::from_secs(60);
        let config = config::Hook {
            url: "http://127.0.0.1:1/".parse().unwrap(),
            timeout: minute,
            cache_ttl: minute,
            negative_ttl: minute,
            cache_entries: 10,
            max_concurrent: most,
            token: None,
            token_file: None,
            ca_file: None,
        };
        Hook::new(&config, "r").unwrap()
    }

    #[tokio::test]
    async fn an_answer_that_came_since_the_caller_looked_is_not_asked_for_again() {
        let hook = hook(1);
        hook.directory()
            .learn("late", Outcome::Failed, Instant::now());
        assert!(hook.begin("late", 0).is_none());
        assert!(hook.begin("other", 0).is_some());
    }

    #[tokio::test]
    async fn strangers_with_many_names_do_not_fill_the_log() {
        let hook = hook(1);
        let log = Log::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || to.clone());
        tracing::subscriber::with_default(subscriber.finish(), || {
            // The only place; nothing is asked before this test waits.
            assert!(hook.begin("first", 0).is_some());
            for name in 0..1000 {
                assert!(hook.begin(&format!("stranger-{name}"), 1).is_none());
            }
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| line.contains("too many"));
        assert!((1..20).contains(&lines.count()), "{text}");
    }
}
