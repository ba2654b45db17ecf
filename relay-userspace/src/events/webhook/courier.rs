//! What goes to one server: batch after batch, each tried again for a while. What it is told to do can change between two attempts.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderName, USER_AGENT};
use tokio::sync::watch;

use super::patience::{self, Patience};
use super::{Counts, Webhook, signature};
use crate::events::bus::Subscription;
use crate::events::event::Event;
use crate::https::Https;

/// What happens together goes out together.
const LINGER: Duration = Duration::from_millis(50);
/// For one attempt, answer included.
const DEADLINE: Duration = Duration::from_secs(10);
const SIGNATURE: HeaderName = HeaderName::from_static("relay-signature");
/// The same in every attempt.
const DELIVERY: HeaderName = HeaderName::from_static("relay-delivery");

pub(super) struct Courier {
    pub hook: watch::Receiver<Webhook>,
    pub client: Https,
    pub counts: Arc<Counts>,
}

impl Courier {
    pub async fn run(self, mut events: Subscription) {
        while let Some(first) = events.next().await {
            tokio::time::sleep(LINGER).await;
            let mut batch = vec![first];
            let most = self.hook.borrow().batch;
            while batch.len() < most
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
        let host = self.hook.borrow().url.authority().map(ToString::to_string);
        let host = host.unwrap_or_default();
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
        let hook = self.hook.borrow().clone();
        let mut request = Request::post(hook.url)
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("relay/", env!("CARGO_PKG_VERSION")))
            .header(DELIVERY, delivery);
        if let Some(secret) = &hook.secret {
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
