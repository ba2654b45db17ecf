//! Whose ticket moves what, and how long.

use super::*;

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
