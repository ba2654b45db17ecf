//! Refresh: longer, shorter, gone; the kernel hears of it before the client does.

use turn_types::AddressFamily;
use turn_types::attribute::{Lifetime, RequestedAddressFamily};
use turn_types::message::REFRESH;

use super::harness::*;
use crate::turn::Transport;

#[test]
fn the_end_of_a_connection_ends_its_allocation_and_no_other() {
    let mut s = TestServer::new();
    let mut tcp = alice();
    tcp.tuple.transport = Transport::Tcp;
    s.allocate(&alice());
    s.allocate(&tcp);
    s.expect_bind(
        &tcp,
        0x4000,
        PEER,
        &[
            "install 3 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50001 until 300",
            "1000 ChannelBind ok",
        ],
    );
    s.server.client_gone(tcp.tuple);
    s.assert_commands(&["remove 3", "release 5.6.7.8:50001"]);
    s.server.client_gone(tcp.tuple);
    s.assert_commands(&[]);
    assert_eq!(s.server.allocations().count(), 1);
}

#[test]
fn an_allocation_of_a_connection_is_not_kept_for_the_next_process() {
    let mut s = TestServer::new();
    let mut tls = alice();
    tls.tuple.transport = Transport::Tls;
    s.allocate(&tls);
    s.allocate(&bob());
    let changed = s.server.take_changed();
    let kept = changed.into_iter().filter_map(|id| s.server.save(id));
    assert_eq!(Vec::from_iter(kept.map(|saved| saved.username)), ["bob"]);
}

#[test]
fn a_refresh_moves_the_end_and_the_sessions_deadlines() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_bind(&alice(), 0x4000, PEER, &[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300",
        "1000 ChannelBind ok",
    ]);
    s.advance(200);
    // The channel ends first: nothing moved.
    s.expect_refresh(&alice(), 1800, &["1000 Refresh ok lifetime 1800"]);
    s.expect_bind(
        &alice(),
        0x4000,
        PEER,
        &["extend 2 800 500", "1000 ChannelBind ok"],
    );
    s.expect_refresh(&alice(), 60, &["1000 Refresh ok lifetime 600"]);
    s.advance(599);
    s.assert_commands(&[]);
    s.advance(1);
    s.assert_commands(&["remove 2", "release 5.6.7.8:50000"]);
}

#[test]
fn a_longer_allocation_lets_its_sessions_run_longer() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.advance(300);
    s.expect_bind(
        &alice(),
        0x4000,
        PEER,
        &[
            "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 600",
            "1000 ChannelBind ok",
        ],
    );
    s.expect_refresh(
        &alice(),
        600,
        &["extend 2 900 600", "1000 Refresh ok lifetime 600"],
    );
}

#[test]
fn a_deletion_removes_sessions_before_it_is_answered() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    for (number, peer, install) in [
        (
            0x4001,
            OTHER,
            "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4001 until 600, 9.9.9.9:2000>5.6.7.8:50000 until 300",
        ),
        (
            0x4000,
            PEER,
            "install 3 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300",
        ),
    ] {
        s.expect_bind(&alice(), number, peer, &[install, "1000 ChannelBind ok"]);
    }
    s.expect_refresh(
        &alice(),
        0,
        &[
            "remove 2",
            "remove 3",
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
