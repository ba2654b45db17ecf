//! What the rest of the program may ask of a worker: messages to its thread, answers by oneshot.

use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::driver::former::Strayed;
use super::driver::moving::{Fetch, Handed};
use super::forwarding::{ForwardKey, NewForward};
use super::stream::joined::Peer;
use super::views;
use super::worker::Worker;
use crate::api;
use crate::events::Reason;
use crate::policy::PeerPolicy;
use crate::turn::{ConnectionId, Counters, Rules, Unbindable};

pub enum Request {
    Sessions(oneshot::Sender<Vec<api::Session>>),
    Kill(api::SessionId, oneshot::Sender<bool>),
    /// Everything of this TURN user or forward. How many allocations and sessions of forwards there were.
    KillOf(String, oneshot::Sender<usize>),
    /// Everything, for this reason.
    EndAll(Reason, oneshot::Sender<()>),
    /// A client of another worker wants an allocation of this one.
    Depart(Box<Fetch>),
    /// The answer, in the same queue as what follows: the allocation is there before what its client sent by its former
    /// path.
    Arrive(Box<Fetch>, Option<Box<Handed>>),
    Strayed(Strayed),
    /// For a data connection of this user (RFC 6062).
    TakePeer(
        ConnectionId,
        String,
        oneshot::Sender<Result<Peer, Unbindable>>,
    ),
    PeerGone(ConnectionId),
    Adopt(Rules, oneshot::Sender<()>),
    TurnCounters(oneshot::Sender<Counters>),
    AddForward(NewForward, oneshot::Sender<io::Result<()>>),
    Retarget(ForwardKey, Vec<SocketAddr>, Arc<PeerPolicy>),
    RemoveForward(ForwardKey, oneshot::Sender<()>),
}

/// Answers until the handles are gone, then ends every session.
pub async fn serve(worker: Rc<Worker>, mut requests: mpsc::UnboundedReceiver<Request>) {
    while let Some(request) = requests.recv().await {
        // An answer nobody waits for any more is no fault.
        match request {
            Request::Sessions(reply) => drop(reply.send(views::sessions(&worker))),
            Request::Kill(id, reply) => {
                let killed = worker.with_driver(|driver, context| driver.kill(context, id))
                    || worker.with_forwarding(|forwarding, context| forwarding.kill(context, id));
                let _ = reply.send(killed);
            }
            Request::KillOf(name, reply) => {
                let why = Reason::Killed;
                let killed = worker
                    .with_driver(|driver, context| driver.kill_all(context, Some(&name), why))
                    + worker
                        .with_forwarding(|forwarding, context| forwarding.kill_of(context, &name));
                let _ = reply.send(killed);
            }
            Request::EndAll(why, reply) => {
                end_all(&worker, why);
                let _ = reply.send(());
            }
            Request::Depart(fetch) => {
                worker.with_driver(|driver, context| driver.depart(context, fetch));
            }
            Request::Arrive(fetch, handed) => {
                worker.guard(|| {
                    worker.with_driver(|driver, context| driver.fetched(context, &fetch, handed));
                });
            }
            Request::Strayed(strayed) => {
                worker.guard(|| {
                    worker.with_driver(|driver, context| driver.take_strayed(context, &strayed));
                });
            }
            Request::TakePeer(id, username, reply) => {
                let peer =
                    worker.with_driver(|driver, context| driver.take_peer(context, id, &username));
                let _ = reply.send(peer);
            }
            Request::PeerGone(id) => {
                worker.with_driver(|driver, context| driver.peer_gone(context, id))
            }
            Request::Adopt(rules, reply) => {
                worker.with_driver(|driver, context| driver.adopt(context, rules));
                let _ = reply.send(());
            }
            Request::TurnCounters(reply) => {
                let _ =
                    reply.send(worker.with_driver(|driver, _| driver.server().counters().clone()));
            }
            Request::AddForward(new, reply) => {
                let _ = reply.send(
                    worker.with_forwarding(|forwarding, context| forwarding.add(context, new)),
                );
            }
            Request::Retarget(key, targets, policy) => {
                worker.with_forwarding(|forwarding, context| {
                    forwarding.retarget(context, key, targets, |address| {
                        policy.check(address).is_ok()
                    });
                })
            }
            Request::RemoveForward(key, reply) => {
                worker.with_forwarding(|forwarding, context| forwarding.remove(context, key));
                let _ = reply.send(());
            }
        }
    }
    end_all(&worker, Reason::Stopped);
    worker.with_forwarding(|forwarding, context| forwarding.remove_all(context));
}

fn end_all(worker: &Rc<Worker>, why: Reason) {
    worker.with_driver(|driver, context| driver.kill_all(context, None, why));
    worker.with_forwarding(|forwarding, context| forwarding.end_all(context, why));
}
