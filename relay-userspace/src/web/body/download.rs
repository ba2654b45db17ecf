//! An origin's answer on its way to the client. It holds what the request holds, until its last byte is gone.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::BoxError;
use crate::web::fault::Fault;
use crate::web::record::Record;

/// Ends when nothing comes for `patience`.
pub struct Download {
    body: Incoming,
    patience: Duration,
    pause: Option<Pin<Box<Sleep>>>,
    record: Record,
}

impl Download {
    pub fn new(body: Incoming, patience: Duration, record: Record) -> Download {
        Download {
            body,
            patience,
            pause: None,
            record,
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let fault = match Pin::new(&mut this.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                this.pause = None;
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.record.sent(bytes as u64);
                return Poll::Ready(Some(Ok(frame)));
            }
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(_))) => Fault::Reset,
            Poll::Pending => {
                let patience = this.patience;
                let pause = this.pause.get_or_insert_with(|| Box::pin(sleep(patience)));
                ready!(pause.as_mut().poll(context));
                Fault::Timeout
            }
        };
        this.record.broke_off(fault);
        Poll::Ready(Some(Err(fault.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
