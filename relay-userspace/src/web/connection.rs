//! One HTTP connection: HTTP/1.1 or h2, whichever it speaks, until it is idle too long. Answers nothing itself.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::desk::Web;
use super::local::Local;
use crate::net::stream::gate::Place;

/// A page loads a dozen things at once, an application polls with a few more.
const STREAMS: u32 = 100;
/// For a client to hear that its connection ends.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes in the kernel: TURN wants few, so that they are not old when they leave, and a page wants many.
const SEND_BUFFER: usize = 512 << 10;
const UNSENT: u32 = 128 << 10;

/// Who asks.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    pub client: SocketAddr,
    pub secure: bool,
}

/// Bytes of one h2 stream that wait for a window or for the socket: a client that reads nothing pins them for each of
/// its streams. hyper's own default is 400 KiB.
const STREAM_BUFFER: usize = 32 << 10;
/// Answers of one connection that may be left unread before it ends: a page that pauses a download leaves one, and what
/// each pins stays until the connection is gone.
const UNREAD: usize = 8;

/// What a connection holds, and whether anything of it is under way.
pub struct Held {
    web: Arc<Web>,
    _place: Place,
    busy: AtomicUsize,
    asked: AtomicBool,
    last: Mutex<Instant>,
    unread: AtomicUsize,
    too_many_unread: Notify,
}

/// While it is there its connection is not idle.
pub struct Busy(Arc<Held>);

impl Held {
    fn new(web: Arc<Web>, place: Place) -> Arc<Held> {
        web.counts().connections.fetch_add(1, Relaxed);
        Arc::new(Held {
            web,
            _place: place,
            busy: AtomicUsize::new(0),
            asked: AtomicBool::new(false),
            last: Mutex::new(Instant::now()),
            unread: AtomicUsize::new(0),
            too_many_unread: Notify::new(),
        })
    }

    pub fn busy(self: &Arc<Self>) -> Busy {
        self.asked.store(true, Relaxed);
        self.busy.fetch_add(1, Relaxed);
        Busy(Arc::clone(self))
    }

    fn touch(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns when nothing was under way for `patience`, or `first` if nothing ever was.
    async fn idle(&self, first: Duration, patience: Duration) {
        loop {
            let patience = match self.asked.load(Relaxed) {
                true => patience,
                false => first,
            };
            let last = *self.last.lock().unwrap_or_else(PoisonError::into_inner);
            let until = match self.busy.load(Relaxed) {
                0 => last + patience,
                _ => Instant::now() + patience,
            };
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.web.counts().connections.fetch_sub(1, Relaxed);
    }
}

impl Busy {
    /// Nobody takes the answer.
    pub fn not_read(&self) {
        if self.0.unread.fetch_add(1, Relaxed) + 1 > UNREAD {
            self.0.too_many_unread.notify_one();
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.touch();
        self.0.busy.fetch_sub(1, Relaxed);
    }
}

/// Accepted with the queues of a TURN client.
pub fn widen(tcp: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(tcp);
    socket.set_send_buffer_size(SEND_BUFFER)?;
    socket.set_tcp_notsent_lowat(UNSENT)
}

/// Serves it until the client goes or is idle. `worker`: on whose thread; `setup`: until when it must have asked something.
pub async fn serve<I>(
    web: Arc<Web>,
    worker: usize,
    io: I,
    asker: Asker,
    place: Place,
    setup: Duration,
) where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let served = web.served();
    let held = Held::new(web, place);
    let mut builder = auto::Builder::new(Local);
    let largest = served.signaling.max_header_bytes;
    let patience = served.signaling.keep_alive;
    drop(served);
    builder
        .http1()
        .max_buf_size(largest)
        .timer(TokioTimer::new())
        // `idle` ends those that are slow with their head as well.
        .header_read_timeout(None);
    builder
        .http2()
        .max_concurrent_streams(STREAMS)
        .max_send_buf_size(STREAM_BUFFER)
        .max_header_list_size(u32::try_from(largest).unwrap_or(u32::MAX))
        .enable_connect_protocol();
    let service = service_fn(|request| {
        let held = Arc::clone(&held);
        async move { Ok::<_, Infallible>(held.web.answer(worker, asker, held.busy(), request).await) }
    });
    let mut connection = pin!(builder.serve_connection_with_upgrades(TokioIo::new(io), service));
    // Whoever broke off knows best why.
    tokio::select! {
        _ = connection.as_mut() => return,
        () = held.too_many_unread.notified() => return,
        () = held.idle(setup.min(patience), patience) => connection.as_mut().graceful_shutdown(),
    }
    held.touch();
    tokio::select! {
        _ = connection => {}
        () = held.idle(FAREWELL, FAREWELL) => {}
    }
}
