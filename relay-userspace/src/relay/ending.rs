//! How a running relay ends: drained, left to the next process, or at once.

use std::time::Duration;

use tokio::task::AbortHandle;

use super::Relay;
use super::drain::{NotCancelled, Order};
use crate::admission::Admission;
use crate::api;
use crate::events::Reason;
use crate::journal::Key;
use crate::net::control::Request;

/// For webhooks, when the relay ends.
const LAST_EVENTS: Duration = Duration::from_secs(2);

impl Relay {
    /// Nothing new begins from now on; [`Self::drained`] says when it is over.
    pub fn drain(&self, order: Order) -> Option<api::Drain> {
        self.inner.drain.begin(order);
        self.drain_view()
    }

    pub fn cancel_drain(&self) -> Result<(), NotCancelled> {
        self.inner.drain.cancel()
    }

    /// `None`: it was never asked for.
    pub fn drain_view(&self) -> Option<api::Drain> {
        self.inner.drain.view()
    }

    /// Waits until a drain is over: what is left then has still to be ended.
    pub async fn drained(&self) -> api::Drain {
        self.inner.drain.over().await
    }

    /// Whether new allocations and sessions are refused.
    pub fn admission(&self) -> &Admission {
        &self.inner.shared.admission
    }

    /// Leaves the sessions to the kernel and to the next process: nothing is ended, nothing more is served. The process
    /// must end after it.
    pub async fn leave(self) {
        // Short: until the next process is there, nobody answers clients.
        self.last_events(LAST_EVENTS / 10).await;
        self.settle().await;
        // Dropping the last handle would end the workers' sessions one by one.
        std::mem::forget(self);
    }

    /// Ends every session in the kernel and in userspace, closes the sockets, joins the threads, leaves the cards.
    pub async fn shutdown(self) {
        self.end(Reason::Stopped).await;
    }

    /// The same, and says why sessions ended.
    pub async fn end(self, why: Reason) {
        self.inner.shared.admission.close();
        self.inner
            .workers
            .ask(|reply| Request::EndAll(why, reply))
            .await;
        self.inner.tasks.iter().for_each(AbortHandle::abort);
        for forward in self.inner.forwards.views().await {
            self.forget(Key::Forward(forward.name));
        }
        self.inner.forwards.remove_all().await;
        self.inner.workers.end().await;
        for address in &self.inner.listen {
            self.inner.shared.fastpath.close_port(*address);
        }
        self.inner.shared.fastpath.close();
        self.last_events(LAST_EVENTS).await;
    }

    /// Nothing more happens: webhooks may have so long for what waits for them.
    async fn last_events(&self, soon: Duration) {
        self.inner.shared.events.close();
        self.inner.webhooks.lock().await.finish(soon).await;
    }
}
