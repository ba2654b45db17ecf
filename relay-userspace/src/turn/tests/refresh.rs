//! Refresh: longer, shorter, gone; the kernel hears of it before the client does.

use turn_types::AddressFamily;
use turn_types::attribute::{Lifetime, RequestedAddressFamily, RequestedTransport};
use turn_types::message::REFRESH;

use super::harness::*;

#[test]
fn a_refresh_moves_the_end_and_the_sessions_deadlines() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_bind(&alice(), 0x4000, PEER, &[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300",
        "1000 ChannelBind ok",
    ]);
    s.advance(200);
    s.expect_refresh(
        &alice(),
        1800,
        &["extend 2 600 300", "1000 Refresh ok lifetime 1800"],
    );
    s.expect_bind(
        &alice(),
        0x4000,
        PEER,
        &["extend 2 800 500", "1000 ChannelBind ok"],
    );
    s.expect_refresh(
        &alice(),
        60,
        &["extend 2 800 500", "1000 Refresh ok lifetime 600"],
    );
    s.advance(599);
    s.assert_commands(&[]);
    s.advance(1);
    s.assert_commands(&["remove 2", "release 5.6.7.8:50000"]);
}

#[test]
fn a_shorter_lifetime_is_ordered_before_it_is_answered() {
    let mut s = TestServer::new();
    s.allocate_with(
        &alice(),
        &[&RequestedTransport::new(17), &Lifetime::new(3600)],
    );
    s.advance(100);
    s.expect_bind(&alice(), 0x4000, PEER, &[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 700, 8.8.8.8:1000>5.6.7.8:50000 until 400",
        "1000 ChannelBind ok",
    ]);
    s.advance(50);
    s.expect_bind(
        &alice(),
        0x4000,
        PEER,
        &["extend 2 750 450", "1000 ChannelBind ok"],
    );
    // The allocation ends before the channel would.
    s.elapse(0);
    s.expect_refresh(
        &alice(),
        0,
        &[
            "remove 2",
            "release 5.6.7.8:50000",
            "1000 Refresh ok lifetime 0",
        ],
    );
}

#[test]
fn a_repeated_deletion_succeeds_again_and_a_new_one_is_437() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    let request = s.request(&alice(), REFRESH, &[&Lifetime::new(0)]);
    s.receive(&alice(), &request);
    s.assert_commands(&["release 5.6.7.8:50000", "1000 Refresh ok lifetime 0"]);
    s.advance(30);
    s.receive(&alice(), &request);
    s.assert_commands(&["1000 Refresh ok lifetime 0"]);
    s.expect_refresh(&alice(), 0, &["1000 Refresh 437"]);
    s.advance(10);
    s.receive(&alice(), &request);
    s.assert_commands(&["1000 Refresh 437"]);
    assert_eq!(s.server.poll_timeout(), None);
}

#[test]
fn a_deleted_allocation_may_be_made_anew() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    for _ in 0..3 {
        let request = s.request(&alice(), REFRESH, &[&Lifetime::new(0)]);
        s.receive(&alice(), &request);
        while s.server.next_command().is_some() {}
        s.allocate(&alice());
        assert_eq!(s.server.timers.len(), 1);
    }
}

#[test]
fn a_refresh_for_another_family_is_443() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    let v6 = RequestedAddressFamily::new(AddressFamily::IPV6);
    s.expect(&alice(), REFRESH, &[&v6], &["1000 Refresh 443"]);
    let v4 = RequestedAddressFamily::new(AddressFamily::IPV4);
    s.expect(&alice(), REFRESH, &[&v4], &["1000 Refresh ok lifetime 600"]);
}
