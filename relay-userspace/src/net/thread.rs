//! The thread and the runtime around a worker. Knows nothing of what the worker does.

use std::io;
use std::net::{TcpListener, UdpSocket};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio::sync::{mpsc, oneshot};
use tokio::task::LocalSet;

use super::control::{self, Request};
use super::forwarding::Forwarding;
use super::shared::Shared;
use super::stats::Stats;
use super::worker::Worker;
use crate::turn::{SavedAllocation, Server, ServerConfig};

/// What a worker is made of.
pub struct Plan {
    pub index: usize,
    pub shared: Arc<Shared>,
    pub turn: ServerConfig,
    /// Ids of its forward sessions: the first, and the distance to the next.
    pub forward_ids: (u64, u64),
    pub listeners: Vec<UdpSocket>,
    pub doors: Vec<TcpListener>,
    /// Of an earlier process's worker of the same index.
    pub restored: Vec<SavedAllocation>,
}

/// A running worker. It ends its sessions and its thread when `requests` and its clones are gone.
pub struct WorkerThread {
    pub requests: mpsc::UnboundedSender<Request>,
    pub stats: Arc<Stats>,
    serve: Option<oneshot::Sender<()>>,
    thread: JoinHandle<()>,
}

impl WorkerThread {
    /// Returns when the worker has restored what an earlier one left. It hears no client before [`Self::serve`]: a new
    /// session must not take the place of one that another worker is about to restore.
    pub async fn start(plan: Plan) -> io::Result<WorkerThread> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let (requests, inbox) = mpsc::unbounded_channel();
        let (ready, started) = oneshot::channel();
        let (serve, told) = oneshot::channel();
        let stats = Arc::new(Stats::default());
        let thread = std::thread::Builder::new()
            .name(format!("relay-{}", plan.index))
            .spawn({
                let stats = Arc::clone(&stats);
                move || LocalSet::new().block_on(&runtime, run(plan, stats, inbox, (ready, told)))
            })?;
        started.await.map_err(io::Error::other)??;
        Ok(WorkerThread {
            requests,
            stats,
            serve: Some(serve),
            thread,
        })
    }

    pub fn serve(&mut self) {
        if let Some(serve) = self.serve.take() {
            // A worker that is gone serves nobody.
            let _ = serve.send(());
        }
    }

    /// Blocks until the thread is gone.
    pub fn join(self) {
        drop((self.requests, self.serve));
        if self.thread.join().is_err() {
            tracing::error!("a worker thread panicked");
        }
    }
}

async fn run(
    plan: Plan,
    stats: Arc<Stats>,
    inbox: mpsc::UnboundedReceiver<Request>,
    (ready, told): (oneshot::Sender<io::Result<()>>, oneshot::Receiver<()>),
) {
    let (first, stride) = plan.forward_ids;
    let (server, forwarding) = (Server::new(plan.turn), Forwarding::new(first, stride));
    let (listeners, doors) = (plan.listeners, plan.doors);
    match Worker::start(
        plan.index,
        plan.shared,
        stats,
        server,
        forwarding,
        listeners,
        doors,
    ) {
        Ok(worker) => {
            worker.with_driver(|driver, context| driver.restore(context, &plan.restored));
            // Whoever waited may have given up: then the inbox is closed, too.
            let _ = ready.send(Ok(()));
            if told.await.is_ok() {
                worker.listen();
            }
            control::serve(worker, inbox).await;
        }
        Err(error) => drop(ready.send(Err(error))),
    }
}
