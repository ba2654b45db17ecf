//! Who asks: one question about one name at a time, so many at the same time and no more. Whoever waits is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::sync::watch;

use super::bounds::{Begun, Bounds};
use super::caller::Caller;
pub use super::caller::HookError;
use super::directory::{Directory, Known, Memory, Outcome};
use crate::config;
use crate::turn::Flood;

/// A service that failed is asked about the same name no earlier.
const AFTER_A_FAILURE: Duration = Duration::from_secs(1);
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
    bounds: Bounds,
    warnings: Flood,
    /// Workers have runtimes of their own, which end before this one.
    runtime: Handle,
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
        let mut seed = [0; 32];
        getrandom::fill(&mut seed)?;
        let inner = Inner {
            config: hook.clone(),
            caller: Caller::new(hook, realm)?,
            directory: Arc::new(Directory::new(realm, memory)),
            bounds: Bounds::new(hook, seed),
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

    /// Questions that were not asked, as [`super::REFUSALS`].
    pub fn refused(&self) -> [u64; 2] {
        self.inner.bounds.refused()
    }

    /// For a client of this source prefix: returns when the directory knows `name`, or when it may not be asked about.
    pub async fn ask(&self, name: &str, prefix: u64) {
        self.answer(name, Some(prefix)).await;
    }

    /// All of them, as many at a time as may be: for sessions that are to go on.
    pub async fn ask_about(&self, names: impl Iterator<Item = &str>) {
        let names: std::collections::BTreeSet<_> = names.collect();
        futures_util::stream::iter(names)
            .map(|name| self.answer(name, None))
            .buffer_unordered(self.inner.bounds.most())
            .for_each(|()| std::future::ready(()))
            .await;
    }

    async fn answer(&self, name: &str, prefix: Option<u64>) {
        if let Some(mut told) = self.begin(name, prefix) {
            // An error is the sender's end: that is what is waited for.
            let _ = told.changed().await;
        }
    }

    fn begin(&self, name: &str, prefix: Option<u64>) -> Option<watch::Receiver<()>> {
        let name: Arc<str> = name.into();
        match (self.inner.bounds).begin(&name, prefix, || self.inner.answered(&name)) {
            Begun::Asked(told, tell) => {
                let inner = Arc::clone(&self.inner);
                self.inner.runtime.spawn(async move {
                    inner.question(&name).await;
                    inner.bounds.end(&name, prefix);
                    drop(tell);
                });
                Some(told)
            }
            Begun::Joined(told) => Some(told),
            Begun::Answered => None,
            Begun::Refused(why) => {
                if self.inner.may_warn() {
                    tracing::warn!(name = &*name, "auth.hook: {why}");
                }
                None
            }
        }
    }
}

impl Inner {
    fn answered(&self, name: &str) -> bool {
        let known = self.directory.look(name, Instant::now());
        !matches!(known, Known::Unknown)
    }

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
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Hook").field(&self.inner.directory).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Result, Write};
    use std::sync::Mutex;

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
            questions_per_second: 10,
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
        assert!(hook.begin("late", Some(0)).is_none());
        assert!(hook.begin("other", Some(0)).is_some());
    }

    /// Nothing is asked before a test waits: every question stays under way.
    #[tokio::test]
    async fn a_prefix_has_its_rate_and_its_part_of_what_is_under_way() {
        let hook = hook(1000);
        let asked = |prefix: Option<u64>| {
            let ask = |n: &u32| hook.begin(&format!("{prefix:?}-{n}"), prefix).is_some();
            (0..300u32).filter(ask).count()
        };
        let begun = Instant::now();
        let (first, second) = (asked(Some(1)), asked(Some(2)));
        let most = 11 + 10 * begun.elapsed().as_millis() as usize / 1000;
        assert!((10..=most).contains(&first) && (10..=most).contains(&second));
        assert_eq!(asked(None), 300, "of sessions that are to go on");
        let refused = 600 - first - second;
        assert_eq!(hook.refused(), [0, refused as u64]);
    }

    #[tokio::test]
    async fn strangers_with_many_names_do_not_fill_the_log() {
        let hook = hook(1);
        let log = Log::default();
        let to = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || to.clone());
        tracing::subscriber::with_default(subscriber.finish(), || {
            // The only place; nothing is asked before this test waits.
            assert!(hook.begin("first", Some(0)).is_some());
            for name in 0..1000 {
                assert!(hook.begin(&format!("stranger-{name}"), Some(1)).is_none());
            }
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let lines = text.lines().filter(|line| line.contains("too many"));
        assert!((1..20).contains(&lines.count()), "{text}");
    }
}
