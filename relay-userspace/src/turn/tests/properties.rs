//! What holds whatever arrives in whatever order: no panic, and a driver's books that agree with the tables.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Instant;

use proptest::prelude::*;
use stun_types::attribute::{AttributeType, AttributeWrite, RawAttribute};
use turn_types::attribute::{ChannelNumber, Data, Lifetime, RequestedTransport, XorPeerAddress};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, CREATE_PERMISSION, REFRESH, SEND};

use super::harness::*;
use crate::fastpath::SessionId;
use crate::turn::{BindFault, Command};

const PEERS: [&str; 4] = ["8.8.8.8:1", "8.8.8.8:2", "9.9.9.9:1", "10.0.0.1:1"];

/// Attribute types with a meaning to some request, and one without.
const TYPES: [u16; 9] = [0x0c, 0x0d, 0x12, 0x17, 0x18, 0x19, 0x1a, 0x22, 0x7fff];

#[derive(Debug, Clone)]
enum Op {
    Allocate {
        who: usize,
        lifetime: u32,
        again: bool,
    },
    Refresh {
        who: usize,
        lifetime: u32,
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
        3 => (who.clone(), lifetime.clone(), any::<bool>())
            .prop_map(|(who, lifetime, again)| Op::Allocate { who, lifetime, again }),
        4 => any::<bool>().prop_map(|well| Op::AnswerBinds { well }),
        2 => (who.clone(), lifetime).prop_map(|(who, lifetime)| Op::Refresh { who, lifetime }),
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
    unbound: Vec<crate::turn::AllocationId>,
    next_port: u16,
}

impl Books {
    fn execute(&mut self, s: &mut TestServer) {
        while let Some(command) = s.server.next_command() {
            match command {
                Command::Send { .. } => {}
                Command::BindRelay { allocation, .. } => self.unbound.push(allocation),
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
        for allocation in std::mem::take(&mut self.unbound) {
            let result = if well {
                self.next_port += 1;
                let relayed = SocketAddr::new("5.6.7.8".parse().unwrap(), 50_000 + self.next_port);
                self.relayed.insert(relayed);
                Ok(relayed)
            } else {
                Err(BindFault::PortsExhausted)
            };
            s.server.relay_bound(s.now, allocation, result);
            self.execute(s);
        }
    }

    fn agree(&self, s: &TestServer) {
        let now = s.now.mono;
        let (mut timers, mut sessions, mut bound) = (s.server.farewells.len(), 0, 0);
        for (_, allocation) in s.server.table.iter() {
            timers += 1 + allocation.permissions.len() + allocation.channels.len();
            bound += usize::from(allocation.relayed().is_some());
            for (number, channel) in allocation.channels.iter() {
                assert!(allocation.channels.may_bind(number, channel.peer));
                let Some(session) = channel.session else {
                    continue;
                };
                sessions += 1;
                let (near, far) = allocation.deadlines(channel);
                let (kept_near, kept_far) = self.sessions[&session];
                assert_eq!(kept_near, near);
                assert!(kept_far == far || (kept_far <= now && far <= now));
            }
        }
        let [allocations, by_tuple, by_id, by_relayed] = s.server.table.index_sizes();
        assert_eq!(
            (by_tuple, by_id, by_relayed),
            (allocations, allocations, bound)
        );
        assert_eq!(s.server.config.shared.allocations(), allocations);
        assert_eq!(s.server.timers.len(), timers);
        assert_eq!(self.sessions.len(), sessions);
        assert_eq!(self.relayed.len(), bound);
    }
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
        } => {
            let request = ask(
                s,
                index,
                ALLOCATE,
                &[&RequestedTransport::new(17), &Lifetime::new(lifetime)],
            );
            if again {
                s.receive(&who(index), &request);
            }
        }
        Op::Refresh { who, lifetime } => drop(ask(s, who, REFRESH, &[&Lifetime::new(lifetime)])),
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
                assert!(s.server.kill(s.now, *id));
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

/// A valid message of each kind, for mutation.
fn valid(s: &mut TestServer, kind: usize) -> Vec<u8> {
    let peer = s.peer(PEER);
    let transport = RequestedTransport::new(17);
    match kind {
        0 => s.request(&alice(), ALLOCATE, &[&transport]),
        1 => s.request(&alice(), REFRESH, &[&Lifetime::new(600)]),
        2 => s.request(&alice(), CREATE_PERMISSION, &[&peer]),
        3 => s.request(
            &alice(),
            CHANNEL_BIND,
            &[&ChannelNumber::new(0x4000), &peer],
        ),
        4 => {
            let peer = XorPeerAddress::new(addr(PEER), s.transaction.into());
            let class = stun_types::message::MessageClass::Indication;
            use stun_types::message::MessageWrite as _;
            s.unsigned(class, SEND, &[&peer, &Data::new(b"hello")])
                .finish()
        }
        _ => vec![0x40, 0, 0, 4, 1, 2, 3, 4],
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]

    #[test]
    fn nothing_a_client_sends_makes_the_server_panic(payload in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut s = TestServer::new();
        s.allocate(&alice());
        s.server.handle_client(s.now, alice().tuple, &payload);
        while s.server.next_command().is_some() {}
    }

    #[test]
    fn no_mutation_of_a_valid_message_makes_the_server_panic(
        kind in 0..6usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        keep in any::<prop::sample::Index>(),
    ) {
        let mut s = TestServer::new();
        s.allocate(&alice());
        let mut message = valid(&mut s, kind);
        for (at, value) in changes {
            let at = at.index(message.len());
            message[at] = value;
        }
        s.server.handle_client(s.now, alice().tuple, &message);
        s.server.handle_client(s.now, alice().tuple, &message[..keep.index(message.len())]);
        while s.server.next_command().is_some() {}
    }

    #[test]
    fn no_signed_nonsense_makes_the_server_panic(
        method in prop::sample::select(vec![ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND]),
        attributes in prop::collection::vec(
            (prop::sample::select(TYPES.to_vec()), prop::collection::vec(any::<u8>(), 0..24)),
            0..6,
        ),
        allocated in any::<bool>(),
    ) {
        let mut s = TestServer::new();
        if allocated {
            s.allocate(&alice());
        }
        let raw: Vec<_> = attributes
            .iter()
            .map(|(kind, value)| RawAttribute::new(AttributeType::new(*kind), value))
            .collect();
        let raw: Vec<_> = raw.iter().map(|raw| raw as &dyn AttributeWrite).collect();
        let request = s.request(&alice(), method, &raw);
        s.receive(&alice(), &request);
        let mut commands = 0;
        while s.server.next_command().is_some() {
            commands += 1;
        }
        prop_assert!(commands > 0, "a signed request is answered");
    }

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
        prop_assert_eq!(s.server.table.index_sizes(), [0; 4]);
        prop_assert_eq!(s.server.poll_timeout(), None);
    }
}
