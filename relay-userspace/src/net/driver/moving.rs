//! Allocations on their way from one worker to another: the state machine's half by value, the sockets beside it.

use tokio::sync::mpsc::error::SendError;

use super::Driver;
use super::ledger::Account;
use super::relay_port::{Moving, RelayPort};
use crate::net::control::Request;
use crate::net::worker::Context;
use crate::turn::{AllocationId, Departed, FiveTuple};

/// A client's Refresh with a ticket, and the allocation it is about, which another worker has.
pub struct Fetch {
    pub allocation: AllocationId,
    pub serial: u32,
    pub from: FiveTuple,
    /// The worker of `from`.
    pub to: usize,
    pub request: Vec<u8>,
}

/// An allocation between two workers. Dropped, it is gone and its ports are free.
pub struct Handed {
    departed: Departed,
    ports: Vec<Moving>,
    account: Option<Account>,
}

/// Asks the worker `home` for an allocation.
pub(super) fn fetch(context: &Context<'_>, home: usize, fetch: Fetch) {
    let to = fetch.to;
    let unasked = match context.shared.worker(home) {
        Some(home) => match home.send(Request::Depart(Box::new(fetch))) {
            Err(SendError(Request::Depart(fetch))) => fetch,
            _ => return,
        },
        None => Box::new(fetch),
    };
    // Nobody is there: the client is answered without.
    if let Some(own) = context.shared.worker(to) {
        let _ = own.send(Request::Arrive(unasked, None));
    }
}

impl Driver {
    /// Gives an allocation to the worker that asks for it. Its sessions are out of the kernel before it has it; its port
    /// stays open there.
    pub fn depart(&mut self, context: &mut Context<'_>, fetch: Box<Fetch>) {
        let departed = self.server.depart(fetch.allocation, fetch.serial);
        self.carry_out(context);
        let (to, left) = (fetch.to, departed.as_ref().map(Departed::tuple));
        let handed = departed.and_then(|departed| self.hand_over(context, departed));
        let gone = handed.is_some();
        let answer = Request::Arrive(fetch, handed.map(Box::new));
        let sent = match context.shared.worker(to) {
            Some(worker) => worker.send(answer).map_err(|SendError(unsent)| unsent),
            None => Err(answer),
        };
        match (sent, left) {
            (Ok(()), Some(left)) if gone => self.former_paths.add(context.now.mono, left, to),
            (Err(Request::Arrive(_, Some(handed))), _) => {
                self.ledger.take_over(handed.departed.id(), handed.account);
                self.lose(context, &handed.departed);
            }
            _ => {}
        }
    }

    /// `None`: it is lost.
    fn hand_over(&mut self, context: &Context<'_>, departed: Departed) -> Option<Handed> {
        let mut ports = Vec::new();
        for relayed in departed.relayed() {
            let port = self.ports.remove(&relayed);
            let handed = port.map(RelayPort::hand_over).unwrap_or_else(|| {
                let missing = std::io::ErrorKind::NotFound;
                Err(missing.into())
            });
            match handed {
                Ok(handed) => ports.push(handed),
                Err(error) => {
                    tracing::warn!(%error, %relayed, "an allocation could not move to another worker");
                    self.lose(context, &departed);
                    return None;
                }
            }
        }
        let account = self.ledger.hand_over(departed.id());
        Some(Handed {
            departed,
            ports,
            account,
        })
    }

    /// The answer to `fetch`; `None`: nobody has the allocation, or it may not be had.
    pub fn fetched(
        &mut self,
        context: &mut Context<'_>,
        fetch: &Fetch,
        handed: Option<Box<Handed>>,
    ) {
        let departed = handed.and_then(|handed| {
            let Handed {
                departed,
                ports,
                account,
            } = *handed;
            self.ledger.take_over(departed.id(), account);
            let arrived = ports
                .into_iter()
                .try_for_each(|port| self.arrive(context, departed.id(), port));
            match arrived {
                Ok(()) => Some(departed),
                Err(error) => {
                    tracing::warn!(%error, "an allocation could not move to another worker");
                    self.lose(context, &departed);
                    None
                }
            }
        });
        self.server
            .fetched(context.now, fetch.from, &fetch.request, departed);
        self.carry_out(context);
    }

    fn arrive(
        &mut self,
        context: &Context<'_>,
        allocation: AllocationId,
        moving: Moving,
    ) -> std::io::Result<()> {
        let relayed = moving.address();
        let port = RelayPort::arrived(context.worker, allocation, moving)?;
        self.ports.insert(relayed, port);
        Ok(())
    }

    fn lose(&mut self, context: &Context<'_>, departed: &Departed) {
        self.server.lost(departed);
        self.introduce(context);
        for relayed in departed.relayed() {
            self.ports.remove(&relayed);
            context.shared.fastpath.close_port(relayed);
        }
        if let Some(journal) = &context.shared.journal {
            journal.forget(crate::journal::Key::Allocation(departed.id().0));
        }
        self.tell(context);
    }
}
