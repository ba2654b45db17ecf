//! The ways back to clients: the listening socket a datagram came to, or the connection. Decides nothing.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;

use foldhash::quality::RandomState;

use crate::net::marks::Marks;
use crate::net::socket::{Route, Socket};
use crate::net::stats::Stat;
use crate::net::stream::connection::Connection;
use crate::net::worker::Context;
use crate::turn::FiveTuple;

pub struct Clients {
    listeners: Vec<Rc<Socket>>,
    connections: HashMap<FiveTuple, Rc<Connection>, RandomState>,
}

/// To one client.
pub enum Way<'a> {
    Stream(&'a Rc<Connection>),
    Datagrams(&'a Rc<Socket>, Route),
}

impl Way<'_> {
    /// ChannelData or an indication. `marks` are of the datagram inside; on a stream there is no place for them.
    pub fn send(
        &self,
        context: &mut Context<'_>,
        marks: Option<Marks>,
        framed: &[u8],
    ) -> Result<(), Stat> {
        match self {
            Way::Stream(connection) => {
                connection.push_data(context.now.mono, owner(framed), framed);
                context.outbox.schedule(connection);
            }
            Way::Datagrams(socket, route) => {
                let marks = marks.ok_or(Stat::DroppedHopLimit)?;
                let route = Route { marks, ..*route };
                context.outbox.push(socket, route, framed);
            }
        }
        Ok(())
    }
}

impl Clients {
    pub fn new(listeners: Vec<Rc<Socket>>) -> Clients {
        Clients {
            listeners,
            connections: HashMap::default(),
        }
    }

    pub fn listeners(&self) -> &[Rc<Socket>] {
        &self.listeners
    }

    /// Answers on `connection` from now on. The one that was there before: a client cannot have two of one 5-tuple.
    pub fn add(&mut self, connection: &Rc<Connection>) -> Option<Rc<Connection>> {
        self.connections
            .insert(connection.tuple(), Rc::clone(connection))
    }

    /// False: another one has its place.
    pub fn remove(&mut self, connection: &Rc<Connection>) -> bool {
        let tuple = connection.tuple();
        let own = |current| Rc::ptr_eq(current, connection);
        let current = self.connections.get(&tuple).is_some_and(own);
        if current {
            self.connections.remove(&tuple);
        }
        current
    }

    pub fn connections(&self) -> usize {
        self.connections.len()
    }

    pub fn connection(&self, tuple: &FiveTuple) -> Option<&Rc<Connection>> {
        self.connections.get(tuple)
    }

    /// Whether there is a way to this client.
    pub fn reaches(&self, to: FiveTuple) -> bool {
        self.way(to).is_some()
    }

    pub fn way(&self, to: FiveTuple) -> Option<Way<'_>> {
        if to.transport.is_stream() {
            return self.connections.get(&to).map(Way::Stream);
        }
        let (socket, route) = self.route(to)?;
        Some(Way::Datagrams(socket, route))
    }

    /// A STUN answer.
    pub fn answer(&self, context: &mut Context<'_>, to: FiveTuple, bytes: &[u8]) {
        match self.way(to) {
            Some(Way::Stream(connection)) => {
                connection.push_control(bytes);
                context.outbox.schedule(connection);
            }
            Some(Way::Datagrams(socket, route)) => context.outbox.push(socket, route, bytes),
            None => context.stats.add(Stat::DroppedNoSocket, 1),
        }
    }

    /// The listening socket a client talks to, and the way back from the address it contacted.
    fn route(&self, to: FiveTuple) -> Option<(&Rc<Socket>, Route)> {
        let wildcard = |local: SocketAddr| {
            local.ip().is_unspecified()
                && local.port() == to.server.port()
                && local.is_ipv4() == to.server.is_ipv4()
        };
        let mut listeners = self.listeners.iter();
        let exact = listeners.find(|socket| socket.local() == to.server);
        let any = || {
            self.listeners
                .iter()
                .find(|socket| wildcard(socket.local()))
        };
        let socket = exact.or_else(any)?;
        let from = socket.local().ip().is_unspecified().then(|| to.server.ip());
        let route = Route {
            to: to.client,
            from,
            marks: Marks::default(),
            dont_fragment: false,
        };
        Some((socket, route))
    }
}

/// The channel of a ChannelData message, 0 of anything else.
fn owner(framed: &[u8]) -> u16 {
    match framed {
        [high @ 0x40..=0x7F, low, ..] => u16::from_be_bytes([*high, *low]),
        _ => 0,
    }
}
