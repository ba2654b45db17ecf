//! Messages of clients on streams: taken apart by their frames, then as any other client's.

use std::io;
use std::rc::Rc;

use super::Driver;
use crate::net::marks::Marks;
use crate::net::stats::Stat;
use crate::net::stream::connection::Connection;
use crate::net::worker::Context;
use crate::stream::frame::{Split, split};
use crate::turn::Transport;

/// Of whoever has no allocation: a request with every attribute at its longest is shorter.
const LONGEST_OF_STRANGERS: usize = 8 << 10;

impl Driver {
    pub fn open_stream(&mut self, context: &mut Context<'_>, connection: &Rc<Connection>) {
        let tuple = connection.tuple();
        let stat = match tuple.transport {
            Transport::Tls => Stat::StreamTls,
            _ => Stat::StreamTcp,
        };
        context.stats.add(stat, 1);
        self.former_paths.forget(&tuple);
        if let Some(stale) = self.clients.add(connection) {
            stale.end();
            self.server.client_gone(tuple);
        }
        self.server.client_came(tuple);
        self.carry_out(context);
        self.count_connections(context);
    }

    pub fn close_stream(&mut self, context: &mut Context<'_>, connection: &Rc<Connection>) {
        if self.clients.remove(connection) {
            self.former_paths.forget(&connection.tuple());
            self.server.client_gone(connection.tuple());
            self.carry_out(context);
        }
        self.count_connections(context);
    }

    /// Takes the whole messages `bytes` begin with, and says how many bytes they were.
    pub fn from_stream(
        &mut self,
        context: &mut Context<'_>,
        connection: &Rc<Connection>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let taken = self.take_messages(context, connection, bytes);
        self.conclude(context);
        taken
    }

    fn take_messages(
        &mut self,
        context: &mut Context<'_>,
        connection: &Rc<Connection>,
        bytes: &[u8],
    ) -> io::Result<usize> {
        let tuple = connection.tuple();
        let mut taken = 0;
        loop {
            let rest = &bytes[taken..];
            match split(rest) {
                Split::Message { length, padded } => {
                    let marks = Some(Marks::default());
                    self.take_message(context, tuple, marks, &rest[..length]);
                    taken += padded;
                }
                Split::Wants(more) => {
                    if connection.is_new() {
                        if self.server.serves(&tuple) {
                            connection.established();
                        } else if more > LONGEST_OF_STRANGERS {
                            return Err(io::ErrorKind::InvalidData.into());
                        }
                    }
                    return Ok(taken);
                }
                Split::Broken => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
    }

    fn count_connections(&self, context: &Context<'_>) {
        let connections = self.clients.connections() as u64;
        context.stats.set(Stat::StreamConnections, connections);
    }
}
