//! hyper on a worker's thread: its tasks stay there.

use std::future::Future;

/// Runs hyper's own tasks beside the one that called it.
#[derive(Debug, Clone, Copy)]
pub struct Local;

impl<F: Future + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, task: F) {
        tokio::task::spawn_local(async move { drop(task.await) });
    }
}
