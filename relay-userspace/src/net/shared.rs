//! What every worker reads and none writes per packet.

use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use super::addresses::RelayAddresses;
use super::ports::PortPool;
use super::stream::gate::Gate;
use crate::fastpath::FastPath;
use crate::journal::Journal;
use crate::stream::queue::Limits;
use crate::tls::Certificates;

pub struct Shared {
    pub fastpath: FastPath,
    pub pool: Arc<PortPool>,
    pub addresses: RelayAddresses,
    /// What the next process has to know; `None`: nothing outlives this one.
    pub journal: Option<Journal>,
    pub streams: Streams,
}

/// Of clients on TCP and TLS.
pub struct Streams {
    /// Of what waits to leave by a connection.
    pub queue: Limits,
    /// Within it a connection has an allocation, or is closed.
    pub patience: Duration,
    pub gate: Arc<Gate>,
    pub tls: Certificates,
    /// Balancers, whose connections begin with a PROXY protocol header.
    pub proxies: Vec<IpNet>,
}
