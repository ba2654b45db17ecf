//! What every worker reads and none writes per packet.

use std::sync::Arc;

use super::addresses::RelayAddresses;
use super::ports::PortPool;
use crate::fastpath::FastPath;
use crate::journal::Journal;

pub struct Shared {
    pub fastpath: FastPath,
    pub pool: Arc<PortPool>,
    pub addresses: RelayAddresses,
    /// What the next process has to know; `None`: nothing outlives this one.
    pub journal: Option<Journal>,
}
