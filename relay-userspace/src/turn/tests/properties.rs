//! Whatever is asked in whatever order, the tables agree with each other and with a driver's books.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

use proptest::prelude::*;
use stun_types::attribute::{AttributeWrite, RawAttribute};
use stun_types::message::Message;
use turn_types::AddressFamily;
use turn_types::attribute::{
    AdditionalAddressFamily, ChannelNumber, Lifetime, RequestedAddressFamily, RequestedTransport,
};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH};

use super::harness::*;
use crate::events::Reason;
use crate::fastpath::SessionId;
use crate::turn::mobility::MOBILITY_TICKET;
use crate::turn::{BindFault, Command, Family};

const PEERS: [&str; 5] = [
    "8.8.8.8:1",
    "8.8.8.8:2",
    "9.9.9.9:1",
    "10.0.0.1:1",
    "[2a00::99]:7",
];

#[derive(Debug, Clone)]
enum Op {
    Allocate {
        who: usize,
        lifetime: u32,
        again: bool,
        dual: bool,
    },
    /// A client presents a ticket, maybe an old one, from wherever it is.
    Move {
        who: usize,
        ticket: usize,
        lifetime: u32,
    },
    Data {
        who: usize,
    },
    Refresh {
        who: usize,
        lifetime: u32,
        family: Option<bool>,
    },
    Permit {
        who: usize,
        peer: usize,
    },
    Bind {
        who: usize,
        number: u16,
        peer: usize,
    },
    Advance {
        seconds: u64,
    },
    Elapse {
        seconds: u64,
    },
    AnswerBinds {
        well: bool,
    },
    Kill {
        nth: usize,
    },
    FromPeer {
        relayed: u16,
        peer: usize,
    },
    ChannelData {
        who: usize,
        number: u16,
    },
}

fn op() -> impl Strategy<Value = Op> {
    let who = 0..4usize;
    let peer = 0..PEERS.len();
    let number = 0x4000..0x4003u16;
    let lifetime = prop_oneof![Just(0), Just(600), Just(1800)];
    prop_oneof![
        3 => (who.clone(), lifetime.clone(), any::<bool>(), any::<bool>())
            .prop_map(|(who, lifetime, again, dual)| Op::Allocate { who, lifetime, again, dual }),
        4 => any::<bool>().prop_map(|well| Op::AnswerBinds { well }),
        4 => (who.clone(), any::<usize>(), lifetime.clone())
            .prop_map(|(who, ticket, lifetime)| Op::Move { who, ticket, lifetime }),
        2 => who.clone().prop_map(|who| Op::Data { who }),
        2 => (who.clone(), lifetime, any::<Option<bool>>())
            .prop_map(|(who, lifetime, family)| Op::Refresh { who, lifetime, family }),
        2 => (who.clone(), peer.clone()).prop_map(|(who, peer)| Op::Permit { who, peer }),
        4 => (who.clone(), number.clone(), peer.clone())
            .prop_map(|(who, number, peer)| Op::Bind { who, number, peer }),
        2 => (0..400u64).prop_map(|seconds| Op::Advance { seconds }),
        1 => (0..400u64).prop_map(|seconds| Op::Elapse { seconds }),
        1 => (0..3usize).prop_map(|nth| Op::Kill { nth }),
        1 => (0..4u16, peer).prop_map(|(relayed, peer)| Op::FromPeer { relayed, peer }),
        1 => (who, number).prop_map(|(who, number)| Op::ChannelData { who, number }),
    ]
}

/// What a driver knows after executing every command.
#[derive(Default)]
struct Books {
    sessions: HashMap<SessionId, (Instant, Instant)>,
    relayed: HashSet<SocketAddr>,
    unbound: Vec<(crate::turn::AllocationId, Family)>,
    next_port: u16,
    /// Every one that was issued.
    tickets: Vec<Vec<u8>>,
}

impl Books {
    fn execute(&mut self, s: &mut TestServer) {
        while let Some(command) = s.server.next_command() {
            match command {
                Command::Send { bytes, .. } => self.tickets.extend(ticket_in(&bytes)),
                Command::CancelReservation { .. }
                | Command::FetchAllocation { .. }
                | Command::LookUp { .. }
                | Command::OpenPeerConnection { .. }
                | Command::ClosePeerConnection { .. }
                | Command::JoinConnections { .. } => {}
                Command::BindRelay {
                    allocation, family, ..
                } => self.unbound.push((allocation, family)),
                Command::ReleaseRelay { relayed, .. } => assert!(self.relayed.remove(&relayed)),
                Command::InstallSession { session, spec, .. } => {
                    assert!(self.relayed.contains(&spec.far.local));
                    let deadlines = (spec.near.deadline, spec.far.deadline);
                    assert!(self.sessions.insert(session, deadlines).is_none());
                }
                Command::ExtendSession {
                    session,
                    near_deadline,
                    far_deadline,
                } => {
                    let deadlines = self
                        .sessions
                        .get_mut(&session)
                        .expect("extends what is installed");
                    *deadlines = (near_deadline, far_deadline);
                }
                Command::RemoveSession { session } => {
                    assert!(self.sessions.remove(&session).is_some())
                }
            }
        }
    }

    fn answer(&mut self, s: &mut TestServer, well: bool) {
        for (nth, (allocation, family)) in std::mem::take(&mut self.unbound).into_iter().enumerate()
        {
            // Unwell: every other one fails.
            let result = if well || nth % 2 == 1 {
                self.next_port += 1;
                let ip = match family {
                    Family::V4 => "5.6.7.8",
                    Family::V6 => "2a00::5678",
                };
                let relayed = SocketAddr::new(ip.parse().unwrap(), 50_000 + self.next_port);
                self.relayed.insert(relayed);
                Ok(relayed)
            } else {
                Err(BindFault::PortsExhausted)
            };
            s.server.relay_bound(s.now, allocation, family, result);
            self.execute(s);
        }
    }

    fn agree(&self, s: &TestServer) {
        let now = s.now.mono;
        let (mut timers, mut sessions, mut bound) = (s.server.farewells.len(), 0, 0);
        let mut formers = 0;
        for (_, allocation) in s.server.table.iter() {
            let former = allocation.mobility.and_then(|m| m.former);
            formers += usize::from(former.is_some());
            timers += 1 + allocation.permissions.len() + allocation.channels.len();
            bound += allocation.held.iter().count();
            for (number, channel) in allocation.channels.iter() {
                assert!(allocation.channels.may_bind(number, channel.peer));
                let Some(session) = channel.session else {
                    continue;
                };
                sessions += 1;
                let (near, far) = allocation.deadlines(channel.peer, channel.expires);
                let (kept_near, kept_far) = self.sessions[&session];
                assert_eq!(kept_near, near);
                assert!(kept_far == far || (kept_far <= now && far <= now));
            }
        }
        let [allocations, by_tuple, by_id, by_relayed, by_former] = s.server.table.index_sizes();
        assert_eq!(
            (by_tuple, by_id, by_relayed, by_former),
            (allocations, allocations, bound, formers)
        );
        assert_eq!(s.server.config.shared.allocations(), allocations);
        assert_eq!(s.server.timers.len(), timers + formers);
        assert_eq!(self.sessions.len(), sessions);
        assert_eq!(self.relayed.len(), bound);
    }
}

fn ticket_in(bytes: &[u8]) -> Option<Vec<u8>> {
    let message = Message::from_bytes(bytes).unwrap();
    let ticket = message.raw_attribute(MOBILITY_TICKET)?;
    Some(ticket.value.to_vec())
}

fn who(index: usize) -> Client {
    client(index as u16 + 1, "alice", "wonderland")
}

fn perform(s: &mut TestServer, books: &mut Books, op: &Op) {
    let ask = |s: &mut TestServer, index: usize, method, attributes: &[&dyn AttributeWrite]| {
        let request = s.request(&who(index), method, attributes);
        s.receive(&who(index), &request);
        request
    };
    match *op {
        Op::Allocate {
            who: index,
            lifetime,
            again,
            dual,
        } => {
            let (udp, lifetime) = (RequestedTransport::new(17), Lifetime::new(lifetime));
            let both = AdditionalAddressFamily::new(AddressFamily::IPV6);
            let mobile = RawAttribute::new(MOBILITY_TICKET, &[]);
            let attributes: [&dyn AttributeWrite; 4] = [&udp, &lifetime, &mobile, &both];
            let request = ask(s, index, ALLOCATE, &attributes[..3 + usize::from(dual)]);
            if again {
                s.receive(&who(index), &request);
            }
        }
        Op::Refresh {
            who,
            lifetime,
            family,
        } => {
            let lifetime = Lifetime::new(lifetime);
            let family = family.map(|v6| match v6 {
                true => RequestedAddressFamily::new(AddressFamily::IPV6),
                false => RequestedAddressFamily::new(AddressFamily::IPV4),
            });
            match &family {
                Some(family) => ask(s, who, REFRESH, &[&lifetime, family]),
                None => ask(s, who, REFRESH, &[&lifetime]),
            };
        }
        Op::Move {
            who,
            ticket,
            lifetime,
        } => {
            if !books.tickets.is_empty() {
                let ticket = books.tickets[ticket % books.tickets.len()].clone();
                let ticket = RawAttribute::new(MOBILITY_TICKET, &ticket);
                ask(s, who, REFRESH, &[&Lifetime::new(lifetime), &ticket]);
            }
        }
        Op::Data { who: index } => {
            s.server
                .handle_client(s.now, who(index).tuple, &[0x40, 0, 0, 0]);
        }
        Op::Permit { who, peer } => {
            let peer = s.peer(PEERS[peer]);
            ask(s, who, CREATE_PERMISSION, &[&peer]);
        }
        Op::Bind { who, number, peer } => {
            let peer = s.peer(PEERS[peer]);
            ask(s, who, CHANNEL_BIND, &[&ChannelNumber::new(number), &peer]);
        }
        Op::Advance { seconds } => s.advance(seconds),
        Op::Elapse { seconds } => s.elapse(seconds),
        Op::AnswerBinds { well } => books.answer(s, well),
        Op::Kill { nth } => {
            let ids: Vec<_> = s.server.allocations().map(|view| view.id).collect();
            if let Some(id) = ids.get(nth) {
                assert!(s.server.kill(*id, Reason::Killed));
            }
        }
        Op::FromPeer { relayed, peer } => {
            let relayed = SocketAddr::new("5.6.7.8".parse().unwrap(), 50_000 + relayed);
            s.server
                .handle_peer(s.now, relayed, addr(PEERS[peer]), b"data", &mut Vec::new());
        }
        Op::ChannelData { who: index, number } => {
            let [high, low] = number.to_be_bytes();
            s.server
                .handle_client(s.now, who(index).tuple, &[high, low, 0, 0]);
        }
    }
    books.execute(s);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn the_tables_and_the_drivers_books_always_agree(ops in prop::collection::vec(op(), 1..60)) {
        let mut s = TestServer::new();
        let mut books = Books::default();
        for op in &ops {
            perform(&mut s, &mut books, op);
            books.agree(&s);
        }
        s.advance(10_000);
        books.execute(&mut s);
        books.agree(&s);
        prop_assert_eq!(s.server.table.index_sizes(), [0; 5]);
        prop_assert_eq!(s.server.poll_timeout(), None);
    }
}
