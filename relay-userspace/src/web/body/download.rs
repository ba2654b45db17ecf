//! An origin's answer on its way to the client. It holds what the request holds, until its last byte is gone, or until one of
//! both ends has been waited for too long.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::BoxError;
use crate::web::fault::Fault;
use crate::web::record::Record;

/// Ends when nothing moves for a while: whoever does not read does not even ask for more, so another task looks after it.
pub struct Download {
    shared: Shared,
    watch: AbortHandle,
}

type Shared = Arc<Mutex<Result<Moving, Fault>>>;

struct Moving {
    body: Incoming,
    record: Record,
    last: Instant,
    /// Of the client, while it is the origin that is waited for.
    waiting: Option<Waker>,
}

impl Download {
    pub fn new(body: Incoming, patience: Duration, record: Record) -> Download {
        let moving = Moving {
            body,
            record,
            last: Instant::now(),
            waiting: None,
        };
        let shared = Arc::new(Mutex::new(Ok(moving)));
        let watching = watch(Arc::downgrade(&shared), patience);
        Download {
            watch: tokio::task::spawn_local(watching).abort_handle(),
            shared,
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        self.watch.abort();
    }
}

/// Gives up what has not moved for `patience`, with all that it holds.
async fn watch(shared: Weak<Mutex<Result<Moving, Fault>>>, patience: Duration) {
    let mut until = Instant::now() + patience;
    loop {
        sleep_until(until).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let mut state = lock(&shared);
        let Ok(moving) = &mut *state else { return };
        until = moving.last + patience;
        if until > Instant::now() {
            continue;
        }
        let waiting = moving.waiting.take();
        let fault = match waiting.is_some() {
            true => Fault::Timeout,
            false => Fault::Unread,
        };
        moving.record.broke_off(fault);
        let given_up = std::mem::replace(&mut *state, Err(fault));
        drop(state);
        drop(given_up);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
        return;
    }
}

fn lock(shared: &Mutex<Result<Moving, Fault>>) -> MutexGuard<'_, Result<Moving, Fault>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut *lock(&self.shared) {
            Ok(moving) => moving.poll(context),
            Err(fault) => Poll::Ready(Some(Err((*fault).into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        let state = lock(&self.shared);
        state
            .as_ref()
            .is_ok_and(|moving| moving.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let state = lock(&self.shared);
        let hint = state.as_ref().map(|moving| moving.body.size_hint());
        hint.unwrap_or_default()
    }
}

impl Moving {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(context);
        if polled.is_pending() {
            // Its client waits from now on, not since it last took something.
            if self.waiting.is_none() {
                self.last = Instant::now();
            }
            self.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        self.last = Instant::now();
        self.waiting = None;
        polled.map(|frame| match frame? {
            Ok(frame) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                self.record.sent(bytes as u64);
                Some(Ok(frame))
            }
            Err(_) => {
                self.record.broke_off(Fault::Reset);
                Some(Err(Fault::Reset.into()))
            }
        })
    }
}
