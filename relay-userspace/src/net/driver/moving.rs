//! Allocations on their way from one worker to another: the state machine's half by value, the sockets beside it.

use std::net::SocketAddr;
use std::rc::Rc;

use tokio::sync::oneshot;

use super::Driver;
use super::ledger::Account;
use super::relay_port::{Books, RelayPort};
use crate::net::control::Request;
use crate::net::ports::Bound;
use crate::net::receive::{self, Role};
use crate::net::socket::Socket;
use crate::net::worker::Context;
use crate::turn::{AllocationId, Departed, FiveTuple};

/// An allocation between two workers. Dropped, it is gone and its ports are free.
pub struct Handed {
    departed: Departed,
    ports: Vec<(Bound, Books)>,
    account: Option<Account>,
}

impl Driver {
    /// Asks the worker `home` for an allocation, and goes on with `request` when there is an answer.
    pub(super) fn fetch(
        &self,
        context: &Context<'_>,
        home: usize,
        allocation: AllocationId,
        serial: u32,
        from: FiveTuple,
        request: Vec<u8>,
    ) {
        let (reply, answer) = oneshot::channel();
        let asked = Request::Depart(allocation, serial, reply);
        if let Some(home) = context.shared.worker(home) {
            // Nobody there: `answer` says so.
            let _ = home.send(asked);
        }
        let worker = Rc::clone(context.worker);
        tokio::task::spawn_local(async move {
            let handed = answer.await.ok().flatten();
            worker.guard(|| {
                worker
                    .with_driver(|driver, context| driver.fetched(context, from, &request, handed))
            });
        });
    }

    /// Gives an allocation away. Its sessions are out of the kernel when this returns; its port stays open there.
    pub fn depart(
        &mut self,
        context: &mut Context<'_>,
        allocation: AllocationId,
        serial: u32,
    ) -> Option<Handed> {
        let departed = self.server.depart(allocation, serial);
        self.carry_out(context);
        let departed = departed?;
        let mut ports = Vec::new();
        for relayed in departed.relayed() {
            let port = self.ports.remove(&relayed)?;
            match port.hand_over() {
                Ok(handed) => ports.push(handed),
                Err(error) => {
                    tracing::warn!(%error, %relayed, "an allocation could not move to another worker");
                    self.lose(context, &departed);
                    return None;
                }
            }
        }
        let account = self.ledger.hand_over(allocation);
        Some(Handed {
            departed,
            ports,
            account,
        })
    }

    fn fetched(
        &mut self,
        context: &mut Context<'_>,
        from: FiveTuple,
        request: &[u8],
        handed: Option<Handed>,
    ) {
        let departed = handed.and_then(|handed| {
            let Handed {
                departed,
                ports,
                account,
            } = handed;
            self.ledger.take_over(departed.id(), account);
            let arrived = ports
                .into_iter()
                .try_for_each(|(bound, books)| self.arrive(context, departed.id(), bound, books));
            match arrived {
                Ok(()) => Some(departed),
                Err(error) => {
                    tracing::warn!(%error, "an allocation could not move to another worker");
                    self.lose(context, &departed);
                    None
                }
            }
        });
        self.server.fetched(context.now, from, request, departed);
        self.carry_out(context);
    }

    fn arrive(
        &mut self,
        context: &Context<'_>,
        allocation: AllocationId,
        bound: Bound,
        books: Books,
    ) -> std::io::Result<()> {
        let relayed: SocketAddr = bound.address;
        let socket = Rc::new(Socket::of_pool(bound)?);
        let task = receive::spawn(context.worker, Rc::clone(&socket), Role::RelayPort(relayed));
        let port = RelayPort::new(allocation, socket, task, books);
        self.ports.insert(relayed, port);
        Ok(())
    }

    fn lose(&mut self, context: &Context<'_>, departed: &Departed) {
        for relayed in departed.relayed() {
            self.ports.remove(&relayed);
            context.shared.fastpath.close_port(relayed);
        }
        if let Some(journal) = &context.shared.journal {
            journal.forget(crate::journal::Key::Allocation(departed.id().0));
        }
        self.server.lost(departed);
        self.tell(context);
    }
}
