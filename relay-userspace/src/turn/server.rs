//! The state machine's front: what comes in is told apart here, and what goes out is queued here. Decides nothing itself.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Instant;

use super::command::{BindFault, Command, ToPeer};
use super::config::ServerConfig;
use super::counters::Counters;
use super::identity::{AllocationId, FiveTuple, Now};
use super::view::{AllocationView, RefusalView};

#[derive(Debug)]
pub struct Server {
    pub(super) config: ServerConfig,
    pub(super) commands: VecDeque<Command>,
    pub(super) counters: Counters,
}

impl Server {
    pub fn new(config: ServerConfig) -> Self {
        Self {
            config,
            commands: VecDeque::new(),
            counters: Counters::default(),
        }
    }

    /// One datagram from a client. Data to relay is returned by reference; everything else becomes commands.
    pub fn handle_client<'p>(
        &mut self,
        _now: Now,
        _from: FiveTuple,
        _payload: &'p [u8],
    ) -> Option<ToPeer<'p>> {
        None
    }

    /// One datagram from a peer to a relayed address. Replaces what is in `out` with what the client is sent.
    pub fn handle_peer(
        &mut self,
        _now: Now,
        _relayed: SocketAddr,
        _peer: SocketAddr,
        _data: &[u8],
        _out: &mut Vec<u8>,
    ) -> Option<FiveTuple> {
        None
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, _now: Now) {}

    /// When `handle_timeout` is wanted next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        None
    }

    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The driver's answer to [`Command::BindRelay`].
    pub fn relay_bound(
        &mut self,
        _now: Now,
        _allocation: AllocationId,
        _result: Result<SocketAddr, BindFault>,
    ) {
    }

    /// Ends an allocation on the operator's order. False when there is none of this id.
    pub fn kill(&mut self, _now: Now, _id: AllocationId) -> bool {
        false
    }

    pub fn allocations(&self) -> impl Iterator<Item = AllocationView> + '_ {
        std::iter::empty()
    }

    pub fn allocation(&self, _id: AllocationId) -> Option<AllocationView> {
        None
    }

    /// The last peers refused, oldest first.
    pub fn refusals(&self) -> impl Iterator<Item = &RefusalView> + '_ {
        std::iter::empty()
    }

    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}
