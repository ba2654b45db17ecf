//! Allocations that follow their client within a server, and into the next process.

mod tickets;
mod workers;

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
