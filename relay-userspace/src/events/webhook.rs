//! Events to the HTTP servers an operator names: in batches, signed, tried again for a while, then counted as lost. What
//! waits for a server is bounded, and nobody waits for one.

mod courier;
mod patience;
mod signature;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use hyper::Uri;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::bus::{Bus, Feed, Subscription, TooMany};
use super::filter::Filter;
use crate::https::Https;
use crate::secret::Secret;
use courier::Courier;

/// Events that wait for one server.
const ROOM: usize = 10_000;
/// For what waits for one that is removed.
const LAST_EVENTS: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    pub url: Uri,
    pub secret: Option<Secret<String>>,
    /// Events in one request at most.
    pub batch: usize,
    pub filter: Filter,
}

/// Events by what became of them, and failed attempts.
#[derive(Debug, Default)]
pub struct Counts {
    pub delivered: AtomicU64,
    pub given_up: AtomicU64,
    pub failed: AtomicU64,
}

#[derive(Debug, thiserror::Error)]
pub enum WebhookFault {
    #[error("{0}")]
    Tls(#[from] rustls::Error),
    #[error("{0}")]
    TooMany(#[from] TooMany),
}

/// All webhooks of one relay.
#[derive(Debug)]
pub struct Webhooks {
    counts: Arc<Counts>,
    client: Option<Https>,
    running: Vec<Running>,
}

#[derive(Debug)]
struct Running {
    hook: watch::Sender<Webhook>,
    feed: Feed,
    task: JoinHandle<()>,
}

/// Those that are to run, and all that takes. Nothing has changed yet.
#[derive(Debug)]
pub struct Next {
    client: Option<Https>,
    /// With what new ones hear; the others run.
    hooks: Vec<(Webhook, Option<Subscription>)>,
}

impl Webhooks {
    /// They hear what happens from now on.
    pub fn start(all: &[Webhook], bus: &Bus) -> Result<Webhooks, WebhookFault> {
        let mut webhooks = Webhooks {
            counts: Arc::default(),
            client: None,
            running: Vec::new(),
        };
        let next = webhooks.prepare(all, bus)?;
        webhooks.adopt(next);
        Ok(webhooks)
    }

    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// A webhook is its URL: one that is there already keeps what waits for it, whatever else of it changes.
    pub fn prepare(&self, all: &[Webhook], bus: &Bus) -> Result<Next, WebhookFault> {
        let client = match &self.client {
            None if !all.is_empty() => Some(Https::new()?),
            client => client.clone(),
        };
        let mut there: Vec<Uri> = self.running.iter().map(Running::url).collect();
        let hooks = all.iter().map(|hook| {
            let subscription = match there.iter().position(|url| *url == hook.url) {
                Some(at) => {
                    there.swap_remove(at);
                    None
                }
                None => Some(bus.subscribe(hook.filter.clone(), ROOM)?),
            };
            Ok((hook.clone(), subscription))
        });
        let hooks = hooks.collect::<Result<_, WebhookFault>>()?;
        Ok(Next { client, hooks })
    }

    /// Those that are gone are told what waits for them, if they take it soon.
    pub fn adopt(&mut self, next: Next) {
        self.client = next.client;
        let mut before = std::mem::take(&mut self.running);
        for (hook, subscription) in next.hooks {
            let same = before.iter().position(|one| one.url() == hook.url);
            match (subscription, same) {
                (None, Some(at)) => {
                    let running = before.swap_remove(at);
                    running.become_as(hook);
                    self.running.push(running);
                }
                (Some(subscription), _) => self.running.extend(self.employ(hook, subscription)),
                // It ended meanwhile, and so does the relay.
                (None, None) => {}
            }
        }
        for gone in before {
            gone.feed.close();
            tokio::spawn(gone.finish(tokio::time::Instant::now() + LAST_EVENTS));
        }
    }

    /// The bus is closed: what waits still goes out, if it goes out soon.
    pub async fn finish(&mut self, soon: Duration) {
        let end = tokio::time::Instant::now() + soon;
        for running in self.running.drain(..) {
            running.finish(end).await;
        }
    }

    fn employ(&self, hook: Webhook, subscription: Subscription) -> Option<Running> {
        let feed = subscription.feed();
        let (hook, told) = watch::channel(hook);
        let courier = Courier {
            hook: told,
            client: self.client.clone()?,
            counts: self.counts(),
        };
        let task = tokio::spawn(courier.run(subscription));
        Some(Running { hook, feed, task })
    }
}

impl Running {
    fn url(&self) -> Uri {
        self.hook.borrow().url.clone()
    }

    fn become_as(&self, hook: Webhook) {
        self.feed.listen_for(hook.filter.clone());
        self.hook.send_replace(hook);
    }

    async fn finish(mut self, end: tokio::time::Instant) {
        // Aborted when it is dropped, if it goes on.
        let _ = tokio::time::timeout_at(end, &mut self.task).await;
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
