//! Allocations that follow their client: with a ticket, its owner only, within a server and from one worker to another.

use stun_types::attribute::{AttributeType, AttributeWrite, RawAttribute};
use stun_types::message::Message;
use turn_types::attribute::{ChannelNumber, Lifetime, RequestedTransport};
use turn_types::message::{ALLOCATE, CHANNEL_BIND, REFRESH};

use super::harness::*;
use crate::events::Reason;
use crate::turn::{Command, Counter, Departed, FiveTuple, Transport};

const INSTALL: &str =
    "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300";
const MOVED: &str =
    "install 2 192.0.2.1:1111>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300";

fn ticket(value: &[u8]) -> RawAttribute<'_> {
    RawAttribute::new(AttributeType::new(0x8030), value)
}

/// Alice, elsewhere.
fn away(port: u16) -> Client {
    client(port, "alice", "wonderland")
}

/// The ticket in the next answer.
fn told_ticket(s: &mut TestServer) -> Vec<u8> {
    let Some(Command::Send { bytes, .. }) = s.server.next_command() else {
        panic!("no answer")
    };
    let message = Message::from_bytes(&bytes).unwrap();
    let ticket = message.raw_attribute(AttributeType::new(0x8030)).unwrap();
    ticket.value.to_vec()
}

/// A mobile allocation of Alice with a channel, and its ticket; on the only worker.
fn alone() -> (TestServer, Vec<u8>) {
    with_channel(TestServer::new())
}

/// One of two workers.
fn worker(worker_index: usize) -> TestServer {
    TestServer::with(limits(), |config| {
        (config.worker_index, config.worker_count) = (worker_index, 2);
    })
}

fn with_channel(mut s: TestServer) -> (TestServer, Vec<u8>) {
    let udp = RequestedTransport::new(17);
    let request = s.request(&alice(), ALLOCATE, &[&udp, &ticket(&[])]);
    s.receive(&alice(), &request);
    s.bind();
    let ticket = told_ticket(&mut s);
    let peer = s.peer(PEER);
    let request = s.request(
        &alice(),
        CHANNEL_BIND,
        &[&ChannelNumber::new(0x4000), &peer],
    );
    s.receive(&alice(), &request);
    let install = s.server.next_command().unwrap();
    assert!(matches!(install, Command::InstallSession { .. }));
    s.assert_commands(&["1000 ChannelBind ok"]);
    (s, ticket)
}

fn refresh(s: &mut TestServer, client: &Client, with: &[u8], expected: &[&str]) {
    let attributes: [&dyn AttributeWrite; 2] = [&Lifetime::new(600), &ticket(with)];
    s.expect(client, REFRESH, &attributes, expected);
}

fn data(s: &mut TestServer, client: &Client) -> bool {
    let data = [0x40, 0, 0, 1, 9];
    s.server.handle_client(s.now, client.tuple, &data).is_some()
}

fn from_peer(s: &mut TestServer) -> Option<FiveTuple> {
    let mut out = Vec::new();
    let (relayed, peer) = (addr("5.6.7.8:50000"), addr(PEER));
    s.server.handle_peer(s.now, relayed, peer, b"x", &mut out)
}

#[test]
fn an_allocation_moves_with_its_sessions_and_says_so_last() {
    let (mut s, ticket) = alone();
    let expected = ["remove 2", MOVED, "1111 Refresh ok lifetime 600 ticket"];
    refresh(&mut s, &away(1111), &ticket, &expected);
    assert_eq!(from_peer(&mut s), Some(away(1111).tuple));
    s.expect_refresh(&alice(), 600, &["1000 Refresh 437"]);
    s.expect_refresh(&away(1111), 600, &["1111 Refresh ok lifetime 600 ticket"]);
    assert_eq!(s.server.counters().get(Counter::AllocationsMoved), 1);
    assert_eq!(s.server.config.shared.allocations(), 1);
}

#[test]
fn the_former_path_is_taken_from_until_the_new_one_is_used() {
    let (mut s, ticket) = alone();
    refresh(
        &mut s,
        &away(1111),
        &ticket,
        &["remove 2", MOVED, "1111 Refresh ok lifetime 600 ticket"],
    );
    assert!(data(&mut s, &alice()) && data(&mut s, &alice()));
    assert!(data(&mut s, &away(1111)));
    assert!(data(&mut s, &alice()), "overtaken on the way");
    s.advance(1);
    assert!(!data(&mut s, &alice()));

    let (mut s, ticket) = alone();
    refresh(
        &mut s,
        &away(1111),
        &ticket,
        &["remove 2", MOVED, "1111 Refresh ok lifetime 600 ticket"],
    );
    s.advance(30);
    assert!(!data(&mut s, &alice()), "nor for ever");
}

#[test]
fn the_shield_knows_the_former_path_as_long_as_it_is_taken_from() {
    let known = |s: &mut TestServer, client: &Client| {
        let told = s.server.take_acquaintances();
        let of_client = told.iter().filter(|a| a.remote == client.tuple.client);
        of_client.map(|a| a.is_known).collect::<Vec<_>>()
    };
    for uses_the_new_one in [true, false] {
        let (mut s, ticket) = alone();
        s.server.take_acquaintances();
        let moved = ["remove 2", MOVED, "1111 Refresh ok lifetime 600 ticket"];
        refresh(&mut s, &away(1111), &ticket, &moved);
        assert!(known(&mut s, &alice()).is_empty());
        match uses_the_new_one {
            true => {
                assert!(data(&mut s, &away(1111)));
                s.advance(1);
            }
            false => s.advance(30),
        }
        assert_eq!(known(&mut s, &alice()), [false]);
    }
}

#[test]
fn the_shield_knows_a_client_and_its_peers_while_they_are_between_two_workers() {
    let (mut s, ticket) = with_channel(worker(1));
    s.server.take_acquaintances();
    let id = s.server.allocations().next().unwrap().id;
    let mut other = worker(0);
    let departed = s.server.depart(id, 1).expect("it has been issued");
    assert!(s.server.take_acquaintances().is_empty(), "still known");
    let request = other.request(&away(1111), REFRESH, &[&self::ticket(&ticket)]);
    other
        .server
        .fetched(other.now, away(1111).tuple, &request, Some(departed));
    let met = other.server.take_acquaintances();
    assert!(
        met.iter()
            .all(|a| a.is_known && a.remote.ip() == away(1111).tuple.client.ip())
    );
    other.server.kill(id, Reason::Killed);
    // The client at both of its places, and the peer.
    let parted = other.server.take_acquaintances();
    assert!(
        parted.iter().all(|a| !a.is_known) && parted.len() == 5,
        "{parted:?}"
    );

    let (mut s, _) = with_channel(worker(1));
    let id = s.server.allocations().next().unwrap().id;
    let departed = s.server.depart(id, 1).expect("it has been issued");
    s.server.take_acquaintances();
    s.server.lost(&departed);
    assert_eq!(
        s.server.take_acquaintances().len(),
        3,
        "the client and its peer"
    );
}

#[test]
fn a_client_may_move_to_a_connection_and_back() {
    let (mut s, ticket) = alone();
    let mut tls = away(1111);
    tls.tuple.transport = Transport::Tls;
    let attributes: [&dyn AttributeWrite; 2] = [&Lifetime::new(600), &self::ticket(&ticket)];
    let request = s.request(&tls, REFRESH, &attributes);
    s.receive(&tls, &request);
    assert!(matches!(
        s.server.next_command(),
        Some(Command::RemoveSession { .. })
    ));
    let Some(Command::InstallSession { transport, .. }) = s.server.next_command() else {
        panic!("no session")
    };
    assert_eq!(transport, Transport::Tls);
    let ticket = told_ticket(&mut s);
    // The connection breaks; the client comes back by UDP.
    s.server.client_gone(tls.tuple);
    s.assert_commands(&[]);
    refresh(
        &mut s,
        &alice(),
        &ticket,
        &["remove 2", INSTALL, "1000 Refresh ok lifetime 600 ticket"],
    );
    s.server.client_gone(alice().tuple);
    assert_eq!(s.server.allocations().count(), 1);
}

#[test]
fn who_gets_the_5_tuple_of_a_connection_that_broke_gets_nothing_of_its_allocation() {
    let (mut s, ticket) = alone();
    let mut tls = away(1111);
    tls.tuple.transport = Transport::Tls;
    s.server.client_came(tls.tuple);
    s.assert_commands(&[]);
    let request = s.request(&tls, REFRESH, &[&self::ticket(&ticket)]);
    s.receive(&tls, &request);
    while s.server.next_command().is_some() {}
    assert!(data(&mut s, &tls));
    s.server.client_gone(tls.tuple);
    s.server.client_came(tls.tuple);
    s.assert_commands(&["remove 2", "release 5.6.7.8:50000"]);
    assert!(!data(&mut s, &tls));
}

#[test]
fn another_users_ticket_moves_nothing() {
    let (mut s, ticket) = alone();
    refresh(&mut s, &bob(), &ticket, &["2000 Refresh 441"]);
    let mallory = client(1111, "alice", "guessed");
    let attributes: [&dyn AttributeWrite; 1] = [&self::ticket(&ticket)];
    s.expect(
        &mallory,
        REFRESH,
        &attributes,
        &["1111 Refresh 401 challenge unsigned"],
    );
    assert_eq!(from_peer(&mut s), Some(alice().tuple));
}

#[test]
fn a_ticket_is_void_once_a_later_one_was_presented() {
    let (mut s, first) = alone();
    let request = s.request(&away(1111), REFRESH, &[&ticket(&first)]);
    s.receive(&away(1111), &request);
    s.server.next_command();
    s.server.next_command();
    let second = told_ticket(&mut s);
    // The answer was lost and the client moved on: it has the first one still.
    let moved = MOVED.replace("1111", "1112");
    refresh(
        &mut s,
        &away(1112),
        &first,
        &["remove 2", &moved, "1112 Refresh ok lifetime 600 ticket"],
    );
    let moved = MOVED.replace("1111", "1113");
    refresh(
        &mut s,
        &away(1113),
        &second,
        &["remove 2", &moved, "1113 Refresh ok lifetime 600 ticket"],
    );
    refresh(&mut s, &away(1114), &first, &["1114 Refresh 400"]);
    s.advance(601);
    while s.server.next_command().is_some() {}
    refresh(&mut s, &away(1114), &second, &["1114 Refresh 400"]);
}

#[test]
fn a_forged_ticket_is_400_and_one_of_an_allocation_that_is_gone_437() {
    let (mut s, ticket) = alone();
    let mut forged = ticket.clone();
    forged[7] ^= 1;
    refresh(&mut s, &away(1111), &forged, &["1111 Refresh 400"]);
    refresh(&mut s, &away(1111), &[], &["1111 Refresh 400"]);
    s.expect_refresh(
        &alice(),
        0,
        &[
            "remove 2",
            "release 5.6.7.8:50000",
            "1000 Refresh ok lifetime 0",
        ],
    );
    refresh(&mut s, &away(1111), &ticket, &["1111 Refresh 437"]);
}

#[test]
fn mobility_is_had_by_asking_and_only_where_it_is_allowed() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_refresh(&alice(), 600, &["1000 Refresh ok lifetime 600"]);
    let udp = RequestedTransport::new(17);
    s.expect(
        &bob(),
        ALLOCATE,
        &[&udp, &ticket(&[1])],
        &["2000 Allocate 400"],
    );
    let mut s = TestServer::with(limits(), |config| config.mobility = false);
    s.expect(
        &bob(),
        ALLOCATE,
        &[&udp, &ticket(&[])],
        &["2000 Allocate 405"],
    );
    refresh(&mut s, &bob(), &[], &["2000 Refresh 405"]);
}

#[test]
fn a_repeated_allocate_gets_a_ticket_again_and_a_5_tuple_in_use_keeps_its_own() {
    let (mut s, ticket) = alone();
    s.allocate(&away(1111));
    refresh(
        &mut s,
        &away(1111),
        &ticket,
        &["1111 Refresh ok lifetime 600"],
    );
    assert_eq!(from_peer(&mut s), Some(alice().tuple));
}

#[test]
fn a_ticket_outlives_the_credential_that_made_the_allocation() {
    let mut auth = auth();
    auth.users.clear();
    let (username, password) = crate::credentials::Credentials::new(&auth)
        .mint("carol", std::time::Duration::from_secs(60), UNIX)
        .unwrap();
    let mut s = TestServer::new();
    let carol = client(3000, &username, &password);
    s.know(&carol);
    let request = s.request(
        &carol,
        ALLOCATE,
        &[&RequestedTransport::new(17), &ticket(&[])],
    );
    s.receive(&carol, &request);
    s.bind();
    let ticket = told_ticket(&mut s);
    s.advance(120);
    let elsewhere = client(3001, &username, &password);
    s.expect(
        &elsewhere,
        REFRESH,
        &[],
        &["3001 Refresh 401 challenge unsigned"],
    );
    refresh(
        &mut s,
        &elsewhere,
        &ticket,
        &["3001 Refresh ok lifetime 600 ticket"],
    );
}

/// Carries out the fetch a worker ordered.
fn carry_over(home: &mut TestServer, to: &mut TestServer) -> Option<u64> {
    let Some(Command::FetchAllocation {
        allocation,
        serial,
        from,
        request,
        ..
    }) = to.server.next_command()
    else {
        panic!("no fetch")
    };
    let departed = home.server.depart(allocation, serial);
    let id = departed.as_ref().map(|departed| Departed::id(departed).0);
    to.server.fetched(to.now, from, &request, departed);
    id
}

fn share(s: &mut TestServer, with: &TestServer) {
    (s.start, s.now) = (with.start, with.now);
    s.server.config.shared = with.server.config.shared.clone();
}

#[test]
fn an_allocation_moves_between_workers_and_on_to_a_third() {
    let (mut home, ticket) = with_channel(worker(0));
    let mut other = worker(1);
    share(&mut other, &home);
    let attributes: [&dyn AttributeWrite; 2] = [&Lifetime::new(600), &self::ticket(&ticket)];
    let request = other.request(&away(1111), REFRESH, &attributes);
    other.receive(&away(1111), &request);
    // A repetition while the first is on its way.
    other.receive(&away(1111), &request);
    assert!(carry_over(&mut home, &mut other).is_some());
    home.assert_commands(&["remove 4"]);
    assert_eq!(carry_over(&mut home, &mut other), None);
    other.assert_commands(&[
        "remove 4",
        &MOVED.replace("install 2", "install 4"),
        "1111 Refresh ok lifetime 600 ticket",
        "1111 Refresh ok lifetime 600 ticket",
    ]);
    assert_eq!(home.server.table.index_sizes(), [0; 5]);
    assert_eq!(home.server.poll_timeout(), None);
    assert_eq!(other.server.config.shared.allocations(), 1);
    assert_eq!(from_peer(&mut other), Some(away(1111).tuple));
    // Its id says worker 0, which knows where it went.
    let request = home.request(&away(1112), REFRESH, &attributes);
    home.receive(&away(1112), &request);
    assert!(matches!(
        home.server.commands.front(),
        Some(Command::FetchAllocation { home: 1, .. })
    ));
    assert!(carry_over(&mut other, &mut home).is_some());
    assert_eq!(from_peer(&mut home), Some(away(1112).tuple));
    assert_eq!(other.server.table.index_sizes(), [0; 5]);
    home.advance(700);
    assert_eq!(home.server.table.index_sizes(), [0; 5]);
    assert_eq!(home.server.poll_timeout(), None);
    assert_eq!(home.server.config.shared.allocations(), 0);
}

#[test]
fn a_fetch_that_finds_nothing_is_437() {
    let (mut home, ticket) = with_channel(worker(0));
    let mut other = worker(1);
    share(&mut other, &home);
    let request = other.request(&away(1111), REFRESH, &[&self::ticket(&ticket)]);
    other.receive(&away(1111), &request);
    home.expect_refresh(
        &alice(),
        0,
        &[
            "remove 4",
            "release 5.6.7.8:50000",
            "1000 Refresh ok lifetime 0",
        ],
    );
    assert_eq!(carry_over(&mut home, &mut other), None);
    other.assert_commands(&["1111 Refresh 437"]);
}

#[test]
fn a_mobile_allocation_and_its_tickets_go_on_in_the_next_process() {
    let (mut s, ticket) = alone();
    let id = s.server.take_changed().into_iter().next().unwrap();
    let saved = s.server.save(id).unwrap();
    let mut next = TestServer::new();
    (next.start, next.now) = (s.start, s.now);
    next.server.restore(next.now, &saved).unwrap();
    next.assert_commands(&[INSTALL]);
    refresh(
        &mut next,
        &away(1111),
        &ticket,
        &["remove 2", MOVED, "1111 Refresh ok lifetime 600 ticket"],
    );
}
