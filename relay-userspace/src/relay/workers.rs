//! The worker threads as a group: whom to ask, and how they end.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, oneshot};

use crate::net::control::Request;
use crate::net::stats::{Stat, Stats};
use crate::net::thread::WorkerThread;

pub struct Workers {
    threads: Mutex<Vec<WorkerThread>>,
    /// Outlive the threads: totals stay readable.
    stats: Vec<Arc<Stats>>,
}

impl Workers {
    pub fn new(threads: Vec<WorkerThread>) -> Workers {
        let stats = threads
            .iter()
            .map(|thread| Arc::clone(&thread.stats))
            .collect();
        Workers {
            threads: Mutex::new(threads),
            stats,
        }
    }

    pub fn count(&self) -> usize {
        self.stats.len()
    }

    pub fn stats(&self) -> impl Iterator<Item = &Stats> + Clone {
        self.stats.iter().map(|stats| &**stats)
    }

    pub fn total(&self, stat: Stat) -> u64 {
        self.stats().map(|stats| stats.get(stat)).sum()
    }

    /// Where to send requests; nowhere once they ended.
    pub fn requests(&self) -> Vec<mpsc::UnboundedSender<Request>> {
        self.lock()
            .iter()
            .map(|thread| thread.requests.clone())
            .collect()
    }

    /// Asks every worker at once. A worker that is gone has no answer.
    pub async fn ask<T>(&self, question: impl Fn(oneshot::Sender<T>) -> Request) -> Vec<T> {
        let mut waiting = Vec::new();
        for requests in self.requests() {
            let (reply, answer) = oneshot::channel();
            if requests.send(question(reply)).is_ok() {
                waiting.push(answer);
            }
        }
        let mut answers = Vec::with_capacity(waiting.len());
        for answer in waiting {
            answers.extend(answer.await);
        }
        answers
    }

    /// Ends every session, closes the sockets, joins the threads. A second call finds nothing to do.
    pub async fn end(&self) {
        let threads = std::mem::take(&mut *self.lock());
        let joined =
            tokio::task::spawn_blocking(|| threads.into_iter().for_each(WorkerThread::join));
        if joined.await.is_err() {
            tracing::error!("joining the workers failed");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<WorkerThread>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
