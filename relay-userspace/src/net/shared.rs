//! What every worker reads and none writes per packet.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use std::time::Duration;
use tokio::sync::mpsc;

use ipnet::IpNet;

use super::addresses::RelayAddresses;
use super::control::Request;
use super::ports::PortPool;
use super::stream::gate::Gate;
use crate::admission::Admission;
use crate::events::Bus;
use crate::fastpath::FastPath;
use crate::hook::Hook;
use crate::journal::Journal;
use crate::police::Police;
use crate::stream::queue::Limits;
use crate::tls::Certificates;
use crate::web::Web;

pub struct Shared {
    pub fastpath: FastPath,
    pub police: Police,
    pub pool: Arc<PortPool>,
    /// Closed while the relay drains.
    pub admission: Admission,
    pub addresses: RelayAddresses,
    /// What the next process has to know; `None`: nothing outlives this one.
    pub journal: Option<Journal>,
    pub streams: Streams,
    /// Who is asked about users, now.
    pub hook: RwLock<Option<Hook>>,
    pub events: Arc<Bus>,
    /// To each worker, once all of them run.
    pub workers: OnceLock<Vec<mpsc::WeakUnboundedSender<Request>>>,
}

/// Of clients on TCP and TLS.
pub struct Streams {
    /// Of what waits to leave by a connection.
    pub queue: Limits,
    /// Within it a connection has an allocation, or is closed.
    pub patience: Duration,
    pub gate: Arc<Gate>,
    /// Of connections that speak HTTP.
    pub pages: Arc<Gate>,
    pub web: Arc<Web>,
    pub tls: Certificates,
    /// Balancers, whose connections begin with a PROXY protocol header.
    pub proxies: Vec<IpNet>,
}

impl Shared {
    pub fn hook(&self) -> Option<Hook> {
        let hook = self.hook.read();
        hook.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// `None`: it has ended, or not begun.
    pub fn worker(&self, index: usize) -> Option<mpsc::UnboundedSender<Request>> {
        self.workers.get()?.get(index)?.upgrade()
    }
}
