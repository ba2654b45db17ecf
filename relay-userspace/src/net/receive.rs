//! The receive loop, one task a socket: wait, take a batch, hand it on, send what came of it.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::task::AbortHandle;

use super::forwarding::ForwardKey;
use super::socket::Socket;
use super::stats::Stat;
use super::worker::Worker;
use crate::fastpath::SessionId;

/// Batches of one socket before other sockets of the worker have their turn.
const TURN: usize = 8;

/// What a socket is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// TURN clients talk to it.
    TurnListener,
    /// The relayed transport address of an allocation.
    RelayPort(SocketAddr),
    /// Clients of a forward talk to it.
    ForwardListener(ForwardKey),
    /// The destination of a forward session answers to it.
    ForwardPort(ForwardKey, SessionId),
}

/// Aborting the task closes the socket, once nobody else holds it.
pub fn spawn(worker: &Rc<Worker>, socket: Rc<Socket>, role: Role) -> AbortHandle {
    tokio::task::spawn_local(receive(Rc::clone(worker), socket, role)).abort_handle()
}

async fn receive(worker: Rc<Worker>, socket: Rc<Socket>, role: Role) {
    while let Ok(errors) = socket.ready().await {
        if errors {
            worker.guard(|| worker.reports(&socket, role));
        }
        let mut more = true;
        for _ in 0..TURN {
            more = match worker.guard(|| worker.receive(&socket, role)) {
                Some(Ok(more)) => more,
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => false,
                Some(Err(error)) => {
                    worker.stats().add(Stat::of_receive_error(&error), 1);
                    true
                }
                None => true,
            };
            if !more {
                break;
            }
        }
        if more {
            tokio::task::yield_now().await;
        }
    }
}
