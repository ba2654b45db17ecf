//! Sessions of forwards as events: when they begin and end, and what they relayed.

use super::forward::Forward;
use crate::events::{Change, Event, Fact, Peer, Reason, What};
use crate::fastpath::{LegTraffic, SessionId};
use crate::forward::table::Session;
use crate::net::totals::Totals;
use crate::net::worker::Context;
use crate::turn::Transport;

impl Forward {
    /// A session that is in the table.
    pub(super) fn tell(
        &self,
        context: &Context<'_>,
        id: SessionId,
        change: Change,
        reason: Option<Reason>,
    ) {
        if let Some(session) = self.table.session(id) {
            let fact = Fact {
                event: self.event(id, session, change, reason),
                since: None,
                until: Some(session.deadline),
            };
            let event = fact.into_event(context.now.mono);
            context.shared.events.tell(event);
        }
    }

    /// Before its port is given back.
    pub(super) fn tell_end(
        &mut self,
        context: &Context<'_>,
        id: SessionId,
        kernel: Option<LegTraffic>,
    ) {
        let Some((session, reason)) = self.table.take_ended(id) else {
            return;
        };
        let mut totals = Totals {
            to_peer: session.to_destination.total,
            to_client: session.to_client.total,
            refused: self.refused(id),
        };
        totals += kernel.unwrap_or_default().into();
        let fact = Fact {
            event: self.event(id, &session, Change::Ended, Some(reason)),
            since: Some(session.since),
            until: None,
        };
        let event = fact.into_event(context.now.mono);
        context.shared.events.tell(totals.tell(event));
    }

    fn event(
        &self,
        id: SessionId,
        session: &Session,
        change: Change,
        reason: Option<Reason>,
    ) -> Event {
        Event {
            id: Some(id.0),
            forward: Some(self.name.to_string()),
            client: Some(session.client.remote),
            transport: Some(Transport::Udp),
            server: Some(session.client.server),
            relayed: vec![session.local],
            peer: Some(Peer::Port(session.destination)),
            reason,
            ..Event::new(What::Session, change)
        }
    }
}
