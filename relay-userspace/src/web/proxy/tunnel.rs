//! Bytes of a WebSocket in both directions, until both ends are done or neither says anything. Reads none of them.

use std::cell::Cell;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional_with_sizes};
use tokio::time::{Instant, sleep_until};

use crate::web::fault::Fault;
use crate::web::record::Record;

/// A message of an application fits; what is larger goes in parts.
const BUFFER: usize = 16 << 10;

/// The origin's end: whatever moves, moves through it.
struct Watched<I> {
    io: I,
    moved: Rc<Moved>,
}

struct Moved {
    at: Cell<Instant>,
    to_client: Cell<u64>,
    to_origin: Cell<u64>,
}

/// `record` is told at its end.
pub async fn run(client: OnUpgrade, origin: OnUpgrade, patience: Duration, mut record: Record) {
    let counts = std::sync::Arc::clone(record.counts());
    // Either may have gone before it switched.
    let (Ok(client), Ok(origin)) = (client.await, origin.await) else {
        return record.broke_off(Fault::ClientGone);
    };
    counts.websockets.fetch_add(1, Relaxed);
    counts.websockets_opened.fetch_add(1, Relaxed);
    let moved = Rc::new(Moved {
        at: Cell::new(Instant::now()),
        to_client: Cell::new(0),
        to_origin: Cell::new(0),
    });
    let mut client = TokioIo::new(client);
    let mut origin = Watched {
        io: TokioIo::new(origin),
        moved: Rc::clone(&moved),
    };
    let moving = copy_bidirectional_with_sizes(&mut client, &mut origin, BUFFER, BUFFER);
    tokio::select! {
        // Who broke it off is nobody's fault here.
        _ = pin!(moving) => {}
        () = moved.stopped(patience) => record.broke_off(Fault::Timeout),
    }
    counts.websockets.fetch_sub(1, Relaxed);
    counts
        .to_origin_bytes
        .fetch_add(moved.to_origin.get(), Relaxed);
    record.sent(moved.to_client.get());
}

impl Moved {
    async fn stopped(&self, patience: Duration) {
        while self.at.get().elapsed() < patience {
            sleep_until(self.at.get() + patience).await;
        }
    }

    fn add(&self, cell: &Cell<u64>, bytes: usize) {
        cell.set(cell.get() + bytes as u64);
        self.at.set(Instant::now());
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Watched<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(context, into))?;
        let read = into.filled().len() - before;
        self.moved.add(&self.moved.to_client, read);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Watched<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(context, bytes))?;
        self.moved.add(&self.moved.to_origin, written);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}
