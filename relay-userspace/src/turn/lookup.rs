//! Users somebody else knows (`auth.hook`): a request of one nobody has asked about yet waits, beside everything else.

use std::collections::BTreeMap;

use stun_types::message::Message;

use super::command::Command;
use super::counters::Counter;
use super::identity::{FiveTuple, Now};
use super::server::Server;

/// Requests that wait, of one worker and of one source prefix: what is over is dropped, and clients ask again.
const MOST: usize = 1024;
const MOST_OF_ONE_PREFIX: usize = 64;

/// Requests that wait, by client and transaction.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    requests: BTreeMap<(FiveTuple, u128), Parked>,
    by_prefix: BTreeMap<u64, usize>,
}

#[derive(Debug)]
struct Parked {
    prefix: u64,
    wanted: bool,
}

impl Waiting {
    /// False: it waits already, or there is no room.
    fn add(&mut self, from: FiveTuple, transaction: u128) -> bool {
        let prefix = super::prefix(from.client.ip());
        let of_prefix = self.by_prefix.get(&prefix).copied().unwrap_or(0);
        let known = self.requests.contains_key(&(from, transaction));
        if known || self.requests.len() >= MOST || of_prefix >= MOST_OF_ONE_PREFIX {
            return false;
        }
        // Not for one that was refused: nobody would take it out again.
        self.by_prefix.insert(prefix, of_prefix + 1);
        let parked = Parked {
            prefix,
            wanted: true,
        };
        self.requests.insert((from, transaction), parked);
        true
    }

    /// Whether it is still to be executed.
    fn remove(&mut self, from: FiveTuple, transaction: u128) -> bool {
        let Some(Parked { prefix, wanted }) = self.requests.remove(&(from, transaction)) else {
            return false;
        };
        if let Some(count) = self.by_prefix.get_mut(&prefix) {
            *count -= 1;
            if *count == 0 {
                self.by_prefix.remove(&prefix);
            }
        }
        wanted
    }

    /// Its connection is gone: an allocation would have no client. The driver has them until it knows, so they keep their
    /// places: else connections that come and go would leave as many with it as they liked.
    pub fn forget(&mut self, from: FiveTuple) {
        let of_client = (from, 0)..=(from, u128::MAX);
        for (_, parked) in self.requests.range_mut(of_client) {
            parked.wanted = false;
        }
    }
}

impl Server {
    pub(super) fn wait(&mut self, from: FiveTuple, message: &Message<'_>, name: String) {
        let transaction = u128::from(message.transaction_id());
        if !self.may_look_up || !self.waiting.add(from, transaction) {
            return self.counters.bump(Counter::LookupDropped);
        }
        self.commands.push_back(Command::LookUp {
            name,
            from,
            request: message.as_bytes().to_vec(),
        });
    }

    /// What [`Command::LookUp`] asked for is known, or will not be.
    pub fn looked_up(&mut self, now: Now, from: FiveTuple, request: &[u8]) {
        let Ok(message) = Message::from_bytes(request) else {
            return;
        };
        if !self
            .waiting
            .remove(from, u128::from(message.transaction_id()))
        {
            return;
        }
        self.may_look_up = false;
        let relayed = self.handle_client(now, from, request);
        debug_assert!(relayed.is_none(), "a request relays nothing");
        self.may_look_up = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(prefix: usize) -> FiveTuple {
        FiveTuple {
            client: format!("10.{}.{}.1:1000", prefix >> 8, prefix & 255)
                .parse()
                .unwrap(),
            server: "192.0.2.1:3478".parse().unwrap(),
            transport: super::super::identity::Transport::Udp,
        }
    }

    #[test]
    fn requests_without_room_leave_nothing_behind() {
        let mut waiting = Waiting::default();
        let prefixes = MOST / MOST_OF_ONE_PREFIX;
        for (prefix, transaction) in (0..MOST).map(|n| (n % prefixes, n as u128)) {
            assert!(waiting.add(from(prefix), transaction));
        }
        for prefix in prefixes..prefixes + 5000 {
            assert!(!waiting.add(from(prefix), 0));
        }
        assert_eq!(waiting.by_prefix.len(), prefixes);
        for (prefix, transaction) in (0..MOST).map(|n| (n % prefixes, n as u128)) {
            assert!(waiting.remove(from(prefix), transaction));
        }
        assert!(waiting.by_prefix.is_empty() && waiting.requests.is_empty());
    }

    #[test]
    fn requests_of_connections_that_are_gone_keep_their_places_until_they_are_answered() {
        let mut waiting = Waiting::default();
        for transaction in 0..MOST_OF_ONE_PREFIX as u128 {
            assert!(waiting.add(from(1), transaction));
            waiting.forget(from(1));
        }
        assert!(!waiting.add(from(1), 1000));
        assert!(!waiting.remove(from(1), 0), "nobody wants it any more");
        assert!(waiting.add(from(1), 1000));
        assert!(waiting.remove(from(1), 1000));
    }
}
