//! Datagrams between clients and peers: judged by the server, held to their limits, counted, sent. What came together is
//! judged and found its way once.

use std::net::SocketAddr;

use super::Driver;
use crate::api::Traffic;
use crate::net::batch::{Batch, Train};
use crate::net::icmp::queue::Reports;
use crate::net::marks::Marks;
use crate::net::socket::Route;
use crate::net::stats::Stat;
use crate::net::worker::Context;
use crate::police::{DOWN, UP};
use crate::turn::FiveTuple;

impl Driver {
    /// One message of a client, up to what [`Self::conclude`] does. `marks` are what its data goes on with; `None`: it
    /// must not.
    pub(super) fn take_message(
        &mut self,
        context: &mut Context<'_>,
        from: FiveTuple,
        marks: Option<Marks>,
        message: &[u8],
    ) {
        if self.passes_on(context, from, marks, message) {
            return;
        }
        let Some(relay) = self.server.handle_client(context.now, from, message) else {
            return self.obey(context);
        };
        let port = self.ports.get_mut(&relay.relayed);
        let Some((socket, held)) = port.and_then(|port| port.with(relay.peer)) else {
            return context.stats.add(Stat::DroppedNoSocket, 1);
        };
        let Some(marks) = marks else {
            return context.stats.add(Stat::DroppedHopLimit, 1);
        };
        let (now, length) = (context.now.mono, relay.data.len());
        if !held.admits(UP, now, length) {
            return context.stats.add(Stat::DroppedOverLimit, 1);
        }
        let route = Route {
            to: relay.peer,
            from: None,
            marks,
            dont_fragment: relay.dont_fragment,
        };
        context.outbox.push(socket, route, relay.data);
        held.share.to_peer.count(now, length);
        context.stats.add(Stat::PacketsToPeer, 1);
        context.stats.add(Stat::BytesToPeer, length as u64);
    }

    pub fn from_peers(&mut self, context: &mut Context<'_>, relayed: SocketAddr, batch: &Batch) {
        for train in batch.trains() {
            self.take_train(context, relayed, &train);
        }
        self.carry_out(context);
    }

    fn take_train(&mut self, context: &mut Context<'_>, relayed: SocketAddr, train: &Train<'_>) {
        let now = context.now;
        let way = self
            .server
            .way_of_peer(now, relayed, train.from, train.count());
        let Some(way) = way else {
            return context
                .stats
                .add(Stat::DroppedNotPermitted, train.count() as u64);
        };
        let port = self.ports.get_mut(&relayed);
        let Some((_, held)) = port.and_then(|port| port.with(train.from)) else {
            return context
                .stats
                .add(Stat::DroppedNoSocket, train.count() as u64);
        };
        let client = self.clients.way(way.to);
        let marks = train.marks.onward();
        let mut sent = Traffic::default();
        for data in train.datagrams() {
            if !self.server.frame(&way, data, &mut self.framed) {
                context.stats.add(Stat::DroppedNotPermitted, 1);
                continue;
            }
            if !held.admits(DOWN, now.mono, data.len()) {
                context.stats.add(Stat::DroppedOverLimit, 1);
                continue;
            }
            let gone = match &client {
                Some(client) => client.send(context, marks, &self.framed),
                None => Err(Stat::DroppedNoSocket),
            };
            match gone {
                Ok(()) => {
                    sent.packets += 1;
                    sent.bytes += data.len() as u64;
                }
                Err(dropped) => context.stats.add(dropped, 1),
            }
        }
        if sent.packets > 0 {
            held.share.to_client.add(now.mono, sent);
            context.stats.add(Stat::PacketsToClient, sent.packets);
            context.stats.add(Stat::BytesToClient, sent.bytes);
        }
    }

    /// ICMP errors about what left from a relayed address.
    pub fn from_icmp(&mut self, context: &mut Context<'_>, relayed: SocketAddr, reports: &Reports) {
        for report in reports.iter() {
            let (now, about, error) = (context.now, report.about, report.error);
            let framed = &mut self.framed;
            let Some(to) = self.server.handle_icmp(now, relayed, about, error, framed) else {
                continue;
            };
            let marks = Some(Marks::default());
            let gone = match self.clients.way(to) {
                Some(client) => client.send(context, marks, &self.framed),
                None => Err(Stat::DroppedNoSocket),
            };
            if let Err(dropped) = gone {
                context.stats.add(dropped, 1);
            }
        }
    }
}
