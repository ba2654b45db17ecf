//! Events to the HTTP servers an operator names: in batches, signed, tried again for a while, then counted as lost. What
//! waits for a server is bounded, and nobody waits for one.

mod patience;
mod signature;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, USER_AGENT};
use hyper::{Request, Uri};
use tokio::task::JoinHandle;

use patience::Patience;

use super::bus::{Bus, Subscription};
use super::event::Event;
use super::filter::Filter;
use crate::https::Https;
use crate::secret::Secret;

/// Events that wait for one server.
const ROOM: usize = 10_000;
/// What happens together goes out together.
const LINGER: Duration = Duration::from_millis(50);
/// For one attempt, answer included.
const DEADLINE: Duration = Duration::from_secs(10);
const SIGNATURE: HeaderName = HeaderName::from_static("relay-signature");
/// The same in every attempt.
const DELIVERY: HeaderName = HeaderName::from_static("relay-delivery");

#[derive(Debug, Clone)]
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

/// All webhooks of one relay.
#[derive(Debug)]
pub struct Webhooks {
    counts: Arc<Counts>,
    tasks: Vec<JoinHandle<()>>,
}

impl Webhooks {
    /// They hear what happens from now on.
    pub fn start(all: &[Webhook], bus: &Bus) -> std::io::Result<Webhooks> {
        let counts = Arc::<Counts>::default();
        let mut tasks = Vec::new();
        if !all.is_empty() {
            let client = Https::new().map_err(std::io::Error::other)?;
            for hook in all {
                let subscription = bus.subscribe(hook.filter.clone(), ROOM);
                let subscription = subscription.map_err(std::io::Error::other)?;
                let courier = Courier {
                    hook: hook.clone(),
                    client: client.clone(),
                    counts: Arc::clone(&counts),
                };
                tasks.push(tokio::spawn(courier.run(subscription)));
            }
        }
        Ok(Webhooks { counts, tasks })
    }

    pub fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.counts)
    }

    /// The bus is closed: what waits still goes out, if it goes out soon.
    pub async fn finish(&mut self, soon: Duration) {
        let end = tokio::time::Instant::now() + soon;
        for mut task in self.tasks.drain(..) {
            if tokio::time::timeout_at(end, &mut task).await.is_err() {
                task.abort();
            }
        }
    }
}

impl Drop for Webhooks {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Of one webhook.
struct Courier {
    hook: Webhook,
    client: Https,
    counts: Arc<Counts>,
}

impl Courier {
    async fn run(self, mut events: Subscription) {
        while let Some(first) = events.next().await {
            tokio::time::sleep(LINGER).await;
            let mut batch = vec![first];
            while batch.len() < self.hook.batch
                && let Some(event) = events.next_now()
            {
                batch.push(event);
            }
            let count = batch.len() as u64;
            match self.deliver(&batch).await {
                true => self.counts.delivered.fetch_add(count, Relaxed),
                false => {
                    events.lose(count);
                    self.counts.given_up.fetch_add(count, Relaxed)
                }
            };
        }
    }

    /// False: given up.
    async fn deliver(&self, batch: &[Arc<Event>]) -> bool {
        let batch: Vec<&Event> = batch.iter().map(|event| &**event).collect();
        let body = Bytes::from(serde_json::to_vec(&batch).unwrap_or_default());
        let delivery = format!("{:016x}", patience::random());
        // Its path may be a secret.
        let host = self.hook.url.authority().map_or("", |one| one.as_str());
        let mut patience = Patience::default();
        loop {
            let why = match self.attempt(&delivery, body.clone()).await {
                Ok(()) => return true,
                Err(why) => why,
            };
            self.counts.failed.fetch_add(1, Relaxed);
            let Some(pause) = patience.pause() else {
                tracing::warn!(
                    host,
                    why,
                    events = batch.len(),
                    "a webhook does not take events: given up"
                );
                return false;
            };
            tracing::debug!(host, why, ?pause, "a webhook does not take events");
            tokio::time::sleep(pause).await;
        }
    }

    async fn attempt(&self, delivery: &str, body: Bytes) -> Result<(), String> {
        let mut request = Request::post(self.hook.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("relay/", env!("CARGO_PKG_VERSION")))
            .header(DELIVERY, delivery);
        if let Some(secret) = &self.hook.secret {
            let now = SystemTime::now().duration_since(UNIX_EPOCH);
            let now = now.map_or(0, |since| since.as_secs());
            let signed = signature::sign(secret.expose().as_bytes(), now, &body);
            request = request.header(SIGNATURE, signed);
        }
        let request = request.body(Full::new(body)).map_err(|e| e.to_string())?;
        match self.client.ask(request, DEADLINE).await {
            Ok((status, _)) if status.is_success() => Ok(()),
            Ok((status, _)) => Err(format!("answered {status}")),
            Err(fault) => Err(fault.to_string()),
        }
    }
}
