//! An allocation in the next process: as it was, as far as it still holds and is still allowed.

use std::time::Duration;

use super::harness::*;
use crate::config::{Auth, Peers};
use crate::credentials::Credentials;
use crate::policy::PeerPolicy;
use crate::turn::{Lapsed, SavedAllocation};

const INSTALL: &str =
    "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 300";

/// Alice's allocation with a channel, as the journal has it.
fn saved() -> (TestServer, SavedAllocation) {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_bind(&alice(), 0x4000, PEER, &[INSTALL, "1000 ChannelBind ok"]);
    let changed = s.server.take_changed();
    let [id] = Vec::from_iter(changed)[..] else {
        panic!("one allocation changed")
    };
    let saved = s.server.save(id).unwrap();
    let text = serde_json::to_string(&saved).unwrap();
    assert!(!text.contains("wonderland"));
    (s, saved)
}

/// A server of the same moment as `s`.
fn next(s: &TestServer) -> TestServer {
    let mut next = TestServer::new();
    (next.start, next.now) = (s.start, s.now);
    next
}

#[test]
fn it_goes_on_as_it_was() {
    let (s, saved) = saved();
    let mut next = next(&s);
    next.server.restore(next.now, &saved).unwrap();
    next.assert_commands(&[INSTALL]);
    next.elapse(100);
    next.expect_refresh(&alice(), 600, &["1000 Refresh ok lifetime 600"]);
    next.expect_bind(
        &alice(),
        0x4000,
        PEER,
        &["extend 2 700 400", "1000 ChannelBind ok"],
    );
    next.advance(700);
    next.assert_commands(&["remove 2", "release 5.6.7.8:50000"]);
}

#[test]
fn its_ids_are_not_given_again() {
    let (s, saved) = saved();
    let mut next = next(&s);
    next.server.restore(next.now, &saved).unwrap();
    next.assert_commands(&[INSTALL]);
    assert_eq!(next.server.ids.allocation().0, 3);
}

#[test]
fn what_ran_out_meanwhile_is_over() {
    let (mut s, saved) = saved();
    s.elapse(301);
    let mut later = next(&s);
    later.server.restore(later.now, &saved).unwrap();
    later.assert_commands(&[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1000>5.6.7.8:50000 until 0",
    ]);
    s.elapse(300);
    let mut too_late = next(&s);
    let lapsed = too_late.server.restore(too_late.now, &saved);
    assert_eq!(lapsed, Err(Lapsed::Expired));
    too_late.assert_commands(&[]);
}

#[test]
fn a_user_who_is_no_longer_configured_has_no_allocation() {
    let (s, saved) = saved();
    let auth = Auth {
        users: Vec::new(),
        ..auth()
    };
    let mut next = TestServer::with(limits(), |config| {
        config.credentials = Credentials::new(&auth).into();
    });
    let lapsed = next.server.restore(s.now, &saved);
    assert_eq!(lapsed, Err(Lapsed::UnknownUser));
}

#[test]
fn a_peer_that_is_denied_now_is_not_reached() {
    let (s, saved) = saved();
    let mut next = TestServer::with(limits(), |config| {
        let deny = vec!["8.8.8.0/24".parse().unwrap()];
        let peers = Peers {
            deny,
            ..Peers::default()
        };
        config.policy = PeerPolicy::new(&peers).into();
    });
    (next.start, next.now) = (s.start, s.now);
    next.server.restore(next.now, &saved).unwrap();
    next.assert_commands(&[]);
    let view = next.server.allocations().next().unwrap();
    assert!(view.channels.is_empty() && view.permissions.is_empty());
    assert_eq!(view.expires, s.start + Duration::from_secs(600));
}
