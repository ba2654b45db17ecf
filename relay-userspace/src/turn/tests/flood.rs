//! What strangers get: small answers, few of them, and no memory.

use stun_types::attribute::{AttributeType, ErrorCode, RawAttribute};
use stun_types::message::{
    BINDING, Message, MessageClass, MessageWrite as _, MessageWriteExt as _,
};
use turn_types::attribute::RequestedTransport;
use turn_types::message::{ALLOCATE, REFRESH};

use super::harness::*;
use crate::turn::{Acquaintance, Command, Counter, FiveTuple};

#[test]
fn a_binding_answer_is_32_bytes() {
    let mut s = TestServer::new();
    let request = s.unsigned(MessageClass::Request, BINDING, &[]).finish();
    s.receive(&alice(), &request);
    let Some(Command::Send { bytes, .. }) = s.server.next_command() else {
        panic!("no answer")
    };
    assert_eq!(bytes.len(), 32);
    let mut with_fingerprint = s.unsigned(MessageClass::Request, BINDING, &[]);
    with_fingerprint.add_fingerprint().unwrap();
    s.receive(&alice(), &with_fingerprint.finish());
    s.assert_commands(&["1000 Binding ok mapped 192.0.2.1:1000 unsigned fingerprint"]);
}

#[test]
fn a_binding_with_an_unknown_required_attribute_is_420() {
    let mut s = TestServer::new();
    let unknown = RawAttribute::new(AttributeType::new(0x0003), &[0, 0, 0, 0]);
    let request = s
        .unsigned(MessageClass::Request, BINDING, &[&unknown])
        .finish();
    s.receive(&alice(), &request);
    s.assert_commands(&["1000 Binding 420 unknown [0, 3] unsigned"]);
}

#[test]
fn a_challenge_is_small_and_without_a_reason() {
    let mut s = TestServer::new();
    let request = s
        .unsigned(
            MessageClass::Request,
            ALLOCATE,
            &[&RequestedTransport::new(17)],
        )
        .finish();
    s.receive(&alice(), &request);
    let Some(Command::Send { bytes, .. }) = s.server.next_command() else {
        panic!("no answer")
    };
    // Header, ERROR-CODE, the realm's 13 bytes padded, NONCE's 29 padded, PASSWORD-ALGORITHMS.
    assert_eq!(bytes.len(), 20 + 8 + (4 + 16) + (4 + 32) + (4 + 8));
    let message = Message::from_bytes(&bytes).unwrap();
    assert_eq!(message.attribute::<ErrorCode>().unwrap().reason(), "");
}

#[test]
fn strangers_of_one_prefix_share_a_rate_and_users_do_not_pay_for_them() {
    let few = crate::config::Limits {
        unauthenticated_per_second: 10,
        ..limits()
    };
    let mut s = TestServer::with(few, |_| {});
    let binding = s.unsigned(MessageClass::Request, BINDING, &[]).finish();
    let challenge = s.unsigned(MessageClass::Request, ALLOCATE, &[]).finish();
    for port in 1..=50 {
        let bytes = if port % 2 == 0 { &binding } else { &challenge };
        s.receive(&client(port, "", ""), bytes);
    }
    let mut answers = 0;
    while s.server.next_command().is_some() {
        answers += 1;
    }
    assert_eq!(answers, 10);
    assert_eq!(s.server.counters().get(Counter::FloodDropped), 40);
    s.allocate(&alice());
    let stale = s.signed_with(&alice(), REFRESH, &[], "AAAAAAAAAAAAAAAA", REALM);
    // Her connection has a rate of its own, and so has her address: strangers cannot use them up.
    for _ in 0..10 {
        s.receive(&alice(), &stale);
        s.assert_commands(&["1000 Refresh 438 challenge unsigned"]);
    }
    s.receive(&alice(), &stale);
    s.assert_commands(&[]);
    s.receive(&client(51, "", ""), &challenge);
    s.assert_commands(&["51 Allocate 401 challenge unsigned"]);
    s.elapse(1);
    s.receive(&alice(), &stale);
    s.assert_commands(&["1000 Refresh 438 challenge unsigned"]);
}

#[test]
fn strangers_of_all_prefixes_together_get_no_more_than_the_shield_lets_through() {
    let shield = crate::config::Shield {
        strangers_per_cpu: 100,
        ..Default::default()
    };
    let mut s = TestServer::with(limits(), |config| {
        config.shared = crate::turn::Shared::new(&limits(), &shield, [1; 32]);
    });
    s.allocate(&bob());
    let binding = s.unsigned(MessageClass::Request, BINDING, &[]).finish();
    let from = |i: u8| FiveTuple {
        client: ([10, i, 0, 1], 5).into(),
        ..alice().tuple
    };
    for i in 0..=255 {
        s.server.handle_client(s.now, from(i), &binding);
    }
    let mut answers = 0;
    while s.server.next_command().is_some() {
        answers += 1;
    }
    assert_eq!(answers, 100);
    s.receive(&bob(), &binding);
    s.assert_commands(&["2000 Binding ok mapped 192.0.2.1:2000 unsigned"]);
}

#[test]
fn a_host_that_guesses_passwords_keeps_itself_from_logging_in_and_not_its_neighbours() {
    let mut s = TestServer::new();
    let of = |host: u8, password: &str| {
        let mut client = client(1000, "alice", password);
        client.tuple.client.set_ip([192, 0, 2, host].into());
        client
    };
    let mut allocates = |client: &Client| {
        let udp = RequestedTransport::new(17);
        let request = s.request(client, ALLOCATE, &[&udp]);
        s.receive(client, &request);
        let heard = s.server.next_command();
        while s.server.next_command().is_some() {}
        heard
    };
    let heard = (0..200).filter(|_| allocates(&of(1, "guessed")).is_some());
    assert_eq!(heard.count(), 10, "wrong ones that are answered");
    assert_eq!(allocates(&of(1, "wonderland")), None);
    let neighbour = allocates(&of(2, "wonderland"));
    assert!(matches!(neighbour, Some(Command::BindRelay { .. })));
    // Five such hosts are a prefix that guesses.
    for host in 3..=6 {
        let heard = (0..20).filter(|_| allocates(&of(host, "guessed")).is_some());
        assert_eq!(heard.count(), 10);
    }
    assert_eq!(allocates(&of(7, "wonderland")), None);
}

#[test]
fn clients_and_permitted_peers_are_known_until_they_end() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    let peer = addr("9.9.9.9:9");
    s.expect_permission(&alice(), &["9.9.9.9:9"], &["1000 CreatePermission ok"]);
    let told = s.server.take_acquaintances();
    let relayed = s.server.allocations().next().unwrap().relayed[0];
    let tuple = alice().tuple.client;
    let known = |is_known, remote: std::net::SocketAddr, relayed| Acquaintance {
        is_known,
        remote,
        relayed,
    };
    let any = |of: std::net::SocketAddr| std::net::SocketAddr::new(of.ip(), 0);
    let met = vec![
        known(true, tuple, None),
        known(true, any(tuple), None),
        known(true, any(peer), Some(relayed)),
    ];
    assert_eq!(told, met);
    s.expect_permission(&alice(), &["9.9.9.9:9"], &["1000 CreatePermission ok"]);
    assert_eq!(s.server.take_acquaintances(), []);
    s.elapse(301);
    s.server.handle_timeout(s.now);
    assert_eq!(
        s.server.take_acquaintances(),
        [known(false, any(peer), Some(relayed))]
    );
    s.expect_permission(&alice(), &["9.9.9.9:9"], &["1000 CreatePermission ok"]);
    s.server.take_acquaintances();
    s.elapse(301);
    s.server.handle_timeout(s.now);
    let mut parted = s.server.take_acquaintances();
    parted.sort_by_key(|one| (one.relayed, std::cmp::Reverse(one.remote.port())));
    assert_eq!(
        parted,
        met.into_iter()
            .map(|one| Acquaintance {
                is_known: false,
                ..one
            })
            .collect::<Vec<_>>()
    );
}

#[test]
fn a_right_password_is_not_heard_among_too_many_wrong_ones() {
    let few = crate::config::Limits {
        unauthenticated_per_second: 10,
        ..limits()
    };
    let mut s = TestServer::with(few, |_| {});
    s.allocate(&bob());
    for port in 1..=50 {
        let guesser = client(port, "alice", &format!("guess {port}"));
        let request = s.request(&guesser, ALLOCATE, &[&RequestedTransport::new(17)]);
        s.receive(&guesser, &request);
    }
    while s.server.next_command().is_some() {}
    assert_eq!(s.server.counters().get(Counter::FloodDropped), 40);
    s.expect(&alice(), ALLOCATE, &[&RequestedTransport::new(17)], &[]);
    // Who has an allocation was heard before.
    s.expect_refresh(&bob(), 600, &["2000 Refresh ok lifetime 600"]);
    s.elapse(1);
    s.allocate(&alice());
}

#[test]
fn strangers_leave_nothing_behind() {
    let mut s = TestServer::new();
    for port in 1..=200 {
        let stranger = client(port, "mallory", "guess");
        let request = s.request(&stranger, ALLOCATE, &[&RequestedTransport::new(17)]);
        s.receive(&stranger, &request);
    }
    assert_eq!(s.server.table.index_sizes(), [0; 5]);
    assert_eq!(s.server.poll_timeout(), None);
    assert_eq!(s.server.config.shared.allocations(), 0);
}
