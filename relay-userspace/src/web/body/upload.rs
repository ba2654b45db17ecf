//! A request's body on its way to an origin, which gets it back whole while nothing of it has left.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

use super::BoxError;
use crate::web::fault::Fault;

/// What became of a body, for whoever waits for the answer.
#[derive(Debug, Default)]
pub struct Fate {
    fault: Mutex<Option<Fault>>,
    bytes: AtomicU64,
    moved: Mutex<Option<Instant>>,
    touched: AtomicBool,
    waiting: AtomicBool,
}

/// Bounded: in bytes, and in the time between two of them.
pub struct Upload {
    body: Incoming,
    most: u64,
    patience: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    fate: Arc<Fate>,
}

/// What the client library owns of an upload: it can be taken back.
#[derive(Clone, Default)]
pub struct Lent(Option<Arc<Mutex<Option<Upload>>>>);

impl Fate {
    /// Why the body ended early, if it did.
    pub fn fault(&self) -> Option<Fault> {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn bytes(&self) -> u64 {
        self.bytes.load(Relaxed)
    }

    /// When something of it last moved.
    pub fn moved(&self) -> Option<Instant> {
        *self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an origin may have seen some of it.
    pub fn touched(&self) -> bool {
        self.touched.load(Relaxed)
    }

    /// Whether it is the client that is waited for.
    pub fn waiting(&self) -> bool {
        self.waiting.load(Relaxed)
    }

    fn fail(&self, fault: Fault) -> BoxError {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        fault.into()
    }
}

impl Upload {
    pub fn new(body: Incoming, most: u64, patience: Duration, fate: Arc<Fate>) -> Upload {
        Upload {
            body,
            most,
            patience,
            pause: None,
            fate,
        }
    }

    fn take(&mut self, frame: &Frame<Bytes>) -> Result<(), BoxError> {
        let Some(data) = frame.data_ref() else {
            return Ok(());
        };
        let before = self.fate.bytes.fetch_add(data.len() as u64, Relaxed);
        *self
            .fate
            .moved
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        match before + data.len() as u64 > self.most {
            true => Err(self.fate.fail(Fault::TooLarge(self.most))),
            false => Ok(()),
        }
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.fate.touched.store(true, Relaxed);
        let polled = Pin::new(&mut self.body).poll_frame(context);
        self.fate.waiting.store(polled.is_pending(), Relaxed);
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                self.pause = None;
                Poll::Ready(Some(self.take(&frame).map(|()| frame)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(Some(Err(self.fate.fail(Fault::ClientGone)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                let patience = self.patience;
                let pause = self.pause.get_or_insert_with(|| Box::pin(sleep(patience)));
                ready!(pause.as_mut().poll(context));
                Poll::Ready(Some(Err(self.fate.fail(Fault::ClientSlow))))
            }
        }
    }
}

impl Lent {
    pub fn new(upload: Upload) -> Lent {
        Lent(Some(Arc::new(Mutex::new(Some(upload)))))
    }

    fn with<T>(&self, empty: T, look: impl FnOnce(&mut Upload) -> T) -> T {
        let Some(shared) = &self.0 else { return empty };
        let mut upload = shared.lock().unwrap_or_else(PoisonError::into_inner);
        upload.as_mut().map_or(empty, look)
    }
}

impl Body for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        self.with(Poll::Ready(None), |upload| upload.poll(context))
    }

    fn is_end_stream(&self) -> bool {
        self.with(true, |upload| upload.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.with(SizeHint::with_exact(0), |upload| upload.body.size_hint())
    }
}
