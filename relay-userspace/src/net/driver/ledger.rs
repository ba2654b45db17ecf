//! What was relayed by sessions, addresses and connections that are gone, until their end is told. Tells it, too.

use std::collections::HashMap;

use super::Driver;
use super::relay_port::Share;
use crate::api::Traffic;
use crate::events::{Change, Kind, What};
use crate::fastpath::{LegTraffic, SessionId};
use crate::net::totals::Totals;
use crate::net::worker::Context;
use crate::turn::{AllocationId, ConnectionId};

#[derive(Debug, Default)]
pub struct Ledger {
    accounts: HashMap<AllocationId, Account>,
    connections: HashMap<ConnectionId, Totals>,
}

/// Of one allocation; goes with it to another worker.
#[derive(Debug, Default)]
pub struct Account {
    total: Totals,
    /// Of sessions that left the kernel: they ended, or moved with their client.
    sessions: HashMap<SessionId, Totals>,
}

impl Ledger {
    pub fn session_removed(
        &mut self,
        allocation: AllocationId,
        session: SessionId,
        kernel: Option<LegTraffic>,
        userspace: Share,
    ) {
        let mut totals = Totals::from(userspace);
        totals += kernel.unwrap_or_default().into();
        let account = self.accounts.entry(allocation).or_default();
        account.total += totals;
        *account.sessions.entry(session).or_default() += totals;
    }

    /// `rest`: what went by it outside of channels.
    pub fn address_released(&mut self, allocation: AllocationId, rest: Share) {
        let rest = Totals::from(rest);
        if !rest.is_zero() {
            self.accounts.entry(allocation).or_default().total += rest;
        }
    }

    /// Bytes to the peer, and to the client. Without any there is nothing to remember, maybe for ever: the end of one that
    /// never came to be is not told.
    pub fn connection_closed(&mut self, connection: ConnectionId, [to_peer, to_client]: [u64; 2]) {
        if [to_peer, to_client] == [0; 2] {
            return;
        }
        let bytes = |bytes| Traffic { packets: 0, bytes };
        let totals = Totals {
            to_peer: bytes(to_peer),
            to_client: bytes(to_client),
            refused: [0; 2],
        };
        self.connections.insert(connection, totals);
    }

    pub fn hand_over(&mut self, allocation: AllocationId) -> Option<Account> {
        self.accounts.remove(&allocation)
    }

    pub fn take_over(&mut self, allocation: AllocationId, account: Option<Account>) {
        if let Some(account) = account {
            self.accounts.insert(allocation, account);
        }
    }

    fn account_of(&mut self, allocation: Option<u64>) -> Option<&mut Account> {
        self.accounts.get_mut(&AllocationId(allocation?))
    }

    /// `None`: nothing ends, or what ended relays nothing.
    fn totals(&mut self, kind: Kind, id: Option<u64>, allocation: Option<u64>) -> Option<Totals> {
        let Kind::Of(what, Change::Ended) = kind else {
            return None;
        };
        match what {
            What::Channel => {
                let account = self.account_of(allocation);
                let totals = account.and_then(|one| one.sessions.remove(&SessionId(id?)));
                Some(totals.unwrap_or_default())
            }
            What::Connection => {
                let totals = self.connections.remove(&ConnectionId(id? as u32));
                let totals = totals.unwrap_or_default();
                if !totals.is_zero() {
                    let allocation = AllocationId(allocation?);
                    self.accounts.entry(allocation).or_default().total += totals;
                }
                Some(totals)
            }
            What::Allocation => {
                let account = self.accounts.remove(&AllocationId(id?));
                Some(account.map(|one| one.total).unwrap_or_default())
            }
            _ => None,
        }
    }
}

impl From<Share> for Totals {
    fn from(share: Share) -> Totals {
        Totals {
            to_peer: share.to_peer.total,
            to_client: share.to_client.total,
            refused: share.refused,
        }
    }
}

impl Driver {
    /// Tells what happened, with what was relayed until then.
    pub(super) fn tell(&mut self, context: &Context<'_>) {
        for fact in self.server.take_facts() {
            let event = fact.into_event(context.now.mono);
            let totals = self.ledger.totals(event.event, event.id, event.allocation);
            let event = match totals {
                Some(totals) => totals.tell(event),
                None => event,
            };
            context.shared.events.tell(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOCATION: AllocationId = AllocationId(5);
    const SESSION: SessionId = SessionId(7);

    /// `packets` to the peer, by the kernel.
    fn removed(ledger: &mut Ledger, packets: u64) {
        let bytes = 10 * packets;
        let kernel = LegTraffic {
            near: Traffic { packets, bytes },
            ..LegTraffic::default()
        };
        ledger.session_removed(ALLOCATION, SESSION, Some(kernel), Share::default());
    }

    fn ended(ledger: &mut Ledger, what: What, id: u64) -> u64 {
        let kind = Kind::Of(what, Change::Ended);
        let totals = ledger.totals(kind, Some(id), Some(ALLOCATION.0));
        totals.expect("an end").to_peer.packets
    }

    #[test]
    fn a_session_that_moved_with_its_client_is_told_whole_at_its_end() {
        let (mut here, mut there) = (Ledger::default(), Ledger::default());
        removed(&mut here, 3);
        there.take_over(ALLOCATION, here.hand_over(ALLOCATION));
        assert!(here.accounts.is_empty());
        removed(&mut there, 4);
        assert_eq!(ended(&mut there, What::Channel, SESSION.0), 7);
        assert_eq!(ended(&mut there, What::Allocation, ALLOCATION.0), 7);
        assert!(there.accounts.is_empty(), "nothing is kept of what ended");
    }

    #[test]
    fn connections_that_never_came_to_be_are_not_remembered() {
        let mut ledger = Ledger::default();
        (0..100).for_each(|id| ledger.connection_closed(ConnectionId(id), [0, 0]));
        ledger.connection_closed(ConnectionId(100), [0, 1]);
        assert_eq!(ledger.connections.len(), 1);
        ended(&mut ledger, What::Connection, 100);
        assert!(ledger.connections.is_empty());
    }

    #[test]
    fn an_allocation_is_told_its_channels_its_connections_and_what_went_beside_them() {
        let mut ledger = Ledger::default();
        removed(&mut ledger, 3);
        let mut rest = Share::default();
        rest.to_peer.count(std::time::Instant::now(), 100);
        ledger.address_released(ALLOCATION, rest);
        ledger.connection_closed(ConnectionId(1), [40, 50]);
        assert_eq!(ended(&mut ledger, What::Channel, SESSION.0), 3);
        assert_eq!(ended(&mut ledger, What::Connection, 1), 0, "bytes only");
        let kind = Kind::Of(What::Allocation, Change::Ended);
        let totals = ledger.totals(kind, Some(ALLOCATION.0), None);
        let totals = totals.expect("an end");
        let (up, down) = (totals.to_peer, totals.to_client);
        assert_eq!((up.packets, up.bytes, down.bytes), (4, 30 + 100 + 40, 50));
    }
}
