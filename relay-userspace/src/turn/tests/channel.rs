//! ChannelBind: what may be bound to what, refreshing, expiry and quarantine.

use turn_types::attribute::{ChannelNumber, Lifetime, RequestedTransport};
use turn_types::message::CHANNEL_BIND;

use super::harness::*;

const INSTALL: &str =
    "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300";
const OK: &str = "1000 ChannelBind ok";
const BAD: &str = "1000 ChannelBind 400";

fn server() -> TestServer {
    let mut s = TestServer::new();
    s.allocate_with(
        &alice(),
        &[&RequestedTransport::new(17), &Lifetime::new(3600)],
    );
    s
}

#[test]
fn a_repeated_bind_refreshes_and_installs_nothing() {
    let mut s = server();
    s.expect_bind(&alice(), 0x4000, PEER, &[INSTALL, OK]);
    s.expect_bind(&alice(), 0x4000, PEER, &[OK]);
    s.advance(250);
    s.expect_bind(&alice(), 0x4000, PEER, &["extend 2 850 550", OK]);
    assert_eq!(s.server.allocations().next().unwrap().channels.len(), 1);
}

#[test]
fn numbers_outside_the_range_are_400() {
    let mut s = server();
    for number in [0, 0x3FFF, 0x8000, 0xFFFF] {
        s.expect_bind(&alice(), number, PEER, &[BAD]);
    }
    let bound = "install 2 192.0.2.1:1000>5.6.7.8:3478 0x7fff until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300";
    s.expect_bind(&alice(), 0x7FFF, PEER, &[bound, OK]);
}

#[test]
fn a_bind_without_number_or_peer_is_400() {
    let mut s = server();
    let peer = s.peer(PEER);
    s.expect(&alice(), CHANNEL_BIND, &[&peer], &[BAD]);
    s.expect(
        &alice(),
        CHANNEL_BIND,
        &[&ChannelNumber::new(0x4000)],
        &[BAD],
    );
}

#[test]
fn a_number_has_one_peer_and_a_peer_one_number() {
    let mut s = server();
    s.expect_bind(&alice(), 0x4000, PEER, &[INSTALL, OK]);
    s.expect_bind(&alice(), 0x4000, OTHER, &[BAD]);
    s.expect_bind(&alice(), 0x4001, PEER, &[BAD]);
}

#[test]
fn an_expired_channel_stays_in_quarantine_for_five_minutes() {
    let mut s = server();
    s.expect_bind(&alice(), 0x4000, PEER, &[INSTALL, OK]);
    s.advance(600);
    s.assert_commands(&["remove 2"]);
    s.expect_bind(&alice(), 0x4000, OTHER, &[BAD]);
    s.expect_bind(&alice(), 0x4001, PEER, &[BAD]);
    s.advance(299);
    s.expect_bind(&alice(), 0x4000, OTHER, &[BAD]);
    s.advance(1);
    let other = "install 3 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 1500, 9.9.9.9:2000>5.6.7.8:50000 until 1200";
    s.expect_bind(&alice(), 0x4000, OTHER, &[other, OK]);
}

#[test]
fn quarantine_lets_the_same_pair_back_in() {
    let mut s = server();
    s.expect_bind(&alice(), 0x4000, PEER, &[INSTALL, OK]);
    s.advance(700);
    s.assert_commands(&["remove 2"]);
    let again = "install 3 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 1300, 8.8.8.8:1000>5.6.7.8:50000 until 1000";
    s.expect_bind(&alice(), 0x4000, PEER, &[again, OK]);
    s.advance(600);
    s.assert_commands(&["remove 3"]);
}

#[test]
fn denied_peers_and_the_relay_itself_are_403() {
    let mut s = server();
    for peer in [
        "127.0.0.1:80",
        "169.254.169.254:80",
        "5.6.7.8:3478",
        "5.6.7.8:22",
        "8.8.8.8:0",
    ] {
        s.expect_bind(&alice(), 0x4000, peer, &["1000 ChannelBind 403"]);
    }
    assert_eq!(s.server.refusals().count(), 5);
    assert!(
        s.server
            .allocations()
            .next()
            .unwrap()
            .permissions
            .is_empty()
    );
}

#[test]
fn another_clients_relayed_address_is_a_peer() {
    let mut s = server();
    let theirs = s.allocate(&bob()).to_string();
    let install = format!(
        "install 3 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, {theirs}>5.6.7.8:50000 until 300"
    );
    s.expect_bind(&alice(), 0x4000, &theirs, &[&install, OK]);
}

#[test]
fn more_channels_than_allowed_are_508_and_leave_no_permission() {
    let mut s = server();
    for i in 0..3 {
        let peer = s.peer(&format!("8.8.1.{i}:1"));
        let bytes = s.request(
            &alice(),
            CHANNEL_BIND,
            &[&ChannelNumber::new(0x4000 + i), &peer],
        );
        s.receive(&alice(), &bytes);
        while s.server.next_command().is_some() {}
    }
    s.expect_bind(&alice(), 0x4003, "8.8.1.9:1", &["1000 ChannelBind 508"]);
    assert_eq!(s.server.allocations().next().unwrap().permissions.len(), 3);
}

#[test]
fn a_channel_ends_no_later_than_its_allocation() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.advance(500);
    s.expect_bind(&alice(), 0x4000, PEER, &[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 600",
        OK,
    ]);
    s.expect_refresh(
        &alice(),
        600,
        &["extend 2 1100 800", "1000 Refresh ok lifetime 600"],
    );
}

#[test]
fn a_refused_bind_binds_nothing() {
    let mut s = server();
    s.expect_bind(&alice(), 0x4000, "10.0.0.1:1", &["1000 ChannelBind 403"]);
    assert!(s.server.allocations().next().unwrap().channels.is_empty());
}
