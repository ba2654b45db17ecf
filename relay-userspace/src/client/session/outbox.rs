//! What waits until the connection takes it, bounded in bytes and age as at the relay's end: whoever listens late hears what
//! is said now (decisions 0016 and 0018). Writes nothing itself.

use std::future::poll_fn;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::unconstrained;

use crate::net::stream::kernel;
use crate::stream::flight::Flight;
use crate::stream::queue::{Limits, Queue};

/// What the relay gives its own data by default, of which a fifth in the kernel's hands.
const WAITING: Limits = Limits {
    bytes: 512 << 10,
    age: Duration::from_millis(200),
};
const IN_THE_KERNEL: Duration = Duration::from_millis(40);
/// Nobody tells when the kernel has passed so much on.
const LOOK: Duration = Duration::from_millis(2);

#[derive(Debug)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    more: Notify,
    now: fn() -> Instant,
}

#[derive(Debug)]
struct Waiting {
    queue: Queue,
    /// The connection takes less than comes: what waits becomes old. While it takes all, only a busy machine waits.
    full: bool,
    /// Nothing more will come.
    finished: bool,
}

impl Outbox {
    pub fn new() -> Self {
        Self::by(Instant::now)
    }

    /// By another clock.
    fn by(now: fn() -> Instant) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                queue: Queue::new(WAITING),
                full: false,
                finished: false,
            }),
            more: Notify::new(),
            now,
        }
    }

    /// False: too many requests wait. Data makes room for itself.
    pub fn push(&self, now: Instant, message: &[u8]) -> bool {
        let mut waiting = self.lock();
        let taken = match message {
            [high @ 0x40..=0x7F, low, ..] => {
                let channel = u16::from_be_bytes([*high, *low]);
                match waiting.full {
                    true => waiting.queue.push_data(now, channel, message),
                    false => waiting.queue.push_behind(now, channel, message),
                }
                true
            }
            _ => waiting.queue.push_control(message).is_ok(),
        };
        self.more.notify_one();
        taken
    }

    /// [`Self::next`] has an end.
    pub fn finish(&self) {
        self.lock().finished = true;
        self.more.notify_one();
    }

    /// Datagrams that became too old, or too many.
    pub fn dropped(&self) -> u64 {
        self.lock().queue.dropped()
    }

    fn is_empty(&self) -> bool {
        self.lock().queue.is_empty()
    }

    /// With its padding; `None`: that was all.
    pub async fn next(&self) -> Option<Vec<u8>> {
        loop {
            let more = self.more.notified();
            {
                let mut waiting = self.lock();
                if waiting.full {
                    waiting.queue.drop_aged((self.now)());
                }
                let (first, rest) = waiting.queue.next_message();
                let message = [first, rest].concat();
                if !message.is_empty() {
                    waiting.queue.advance(message.len());
                    return Some(message);
                }
                if waiting.finished {
                    return None;
                }
            }
            more.await;
        }
    }

    /// Does `write` with a message of [`Self::next`]. What the connection does not take at once fills it, however little the
    /// kernel holds: its buffer may be smaller than what the brake allows.
    pub async fn written<T>(&self, write: impl Future<Output = T>) -> T {
        // That a task has had its share of time says nothing of the connection.
        let mut write = pin!(unconstrained(write));
        if let Poll::Ready(done) =
            poll_fn(|context| Poll::Ready(write.as_mut().poll(context))).await
        {
            return done;
        }
        self.set_full(true);
        let done = write.await;
        self.lock().queue.drop_aged((self.now)());
        done
    }

    fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How much of a connection's data the kernel may hold, where it can neither be dropped nor overtaken.
pub(super) struct Brake {
    tcp: OwnedFd,
    flight: Flight,
}

impl Brake {
    pub fn new(tcp: &impl AsFd) -> io::Result<Self> {
        Ok(Self {
            tcp: tcp.as_fd().try_clone_to_owned()?,
            flight: Flight::new(IN_THE_KERNEL),
        })
    }

    /// Until the kernel has room for the next message of `outbox`, which it tells whether it had. The size of its buffer would
    /// not do: it minds that when it begins a packet, not while it fills one up to 64 KiB.
    pub async fn wait(&mut self, outbox: &Outbox) -> io::Result<()> {
        let held = kernel::held(&self.tcp);
        let full = held > self.flight.size();
        outbox.set_full(full);
        if !full {
            if outbox.is_empty() {
                self.flight.emptied(Instant::now());
            }
            return Ok(());
        }
        let since = Instant::now();
        while kernel::held(&self.tcp) > self.flight.size() * 2 / 3 {
            tokio::time::sleep(LOOK).await;
        }
        let reading = kernel::read(&self.tcp)?;
        self.flight.drained(Instant::now(), since, held, reading);
        Ok(())
    }
}

#[cfg(test)]
#[path = "outbox/tests.rs"]
mod tests;
