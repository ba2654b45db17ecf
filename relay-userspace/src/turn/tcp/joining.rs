//! Data connections (RFC 6062 §5.4): a client's connection that takes a peer's, of whichever worker that is.

use stun_types::message::Message;
use turn_types::attribute::ConnectionId as IdAttribute;

use super::ConnectionId;
use super::connections::State;
use crate::events::{Change, Reason};
use crate::turn::answer::{self, Reject, Success};
use crate::turn::auth::User;
use crate::turn::command::Command;
use crate::turn::counters::Counter;
use crate::turn::identity::{AllocationId, FiveTuple};
use crate::turn::message::{Origin, required};
use crate::turn::server::Server;
use crate::turn::timer::Timer;

/// Why a data connection gets no peer connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unbindable {
    Unknown,
    NotYours,
}

/// A ConnectionBind that waits for another worker: what its answer repeats, and what protects it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pending(Origin, crate::credentials::LongTermKey);

impl Server {
    /// ConnectionBind (RFC 6062 §5.4): answered when whoever has the peer connection gave it.
    pub(in crate::turn) fn connection_bind(
        &mut self,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User,
    ) -> Result<Option<Success>, Reject> {
        let connection = ConnectionId(required::<IdAttribute>(message)?.id());
        // A data connection is one for nothing else.
        if !from.transport.is_stream() || self.table.of_client(&from).is_some() {
            return Err(Reject::BadRequest);
        }
        // And for one peer connection: a second would take the place of the first, whose bytes are on their way.
        if !self.connections.joining.insert(from) {
            return Err(Reject::BadRequest);
        }
        self.commands.push_back(Command::JoinConnections {
            connection,
            home: connection.0 as usize % self.config.worker_count,
            username: user.username.clone(),
            from,
            origin: Pending(Origin::of(message), user.key.clone()),
        });
        Ok(None)
    }

    /// Whose peer connection it is.
    pub fn allocation_of(&self, connection: ConnectionId) -> Option<AllocationId> {
        let known = self.connections.get(connection)?;
        Some(self.table[known.slot].id)
    }

    /// For the worker of the data connection: whether its user gets `connection`, once.
    pub fn bind_connection(
        &mut self,
        connection: ConnectionId,
        username: &str,
    ) -> Result<(), Unbindable> {
        let known = self.connections.get_mut(connection);
        let known = known.ok_or(Unbindable::Unknown)?;
        let State::Unbound(until) = known.state else {
            return Err(Unbindable::Unknown);
        };
        if self.table[known.slot].username != username {
            return Err(Unbindable::NotYours);
        }
        known.state = State::Bound;
        let (slot, peer) = (known.slot, known.peer);
        self.timers.cancel(until, Timer::Connection(connection));
        let told = (Change::Changed, Some(Reason::Bound));
        self.tell_connection(slot, (connection, peer), told);
        self.counters.bump(Counter::ConnectionsBound);
        Ok(())
    }

    /// What [`Command::JoinConnections`] came to.
    pub fn connection_joined(
        &mut self,
        from: FiveTuple,
        pending: &Pending,
        joined: Result<ConnectionId, Unbindable>,
    ) {
        let Pending(origin, key) = pending;
        let bytes = match joined {
            Ok(connection) => answer::success(*origin, &Success::Joined { connection }, Some(key)),
            Err(why) => {
                self.connections.joining.remove(&from);
                let reject = match why {
                    Unbindable::Unknown => Reject::BadRequest,
                    Unbindable::NotYours => Reject::WrongCredentials,
                };
                self.counters.bump(reject.counter());
                answer::error(*origin, &reject, key)
            }
        };
        self.send(from, bytes);
    }

    /// Its data connection, if it was one, is nobody's any more.
    pub(in crate::turn) fn forget_joining(&mut self, tuple: &FiveTuple) {
        self.connections.joining.remove(tuple);
    }
}
