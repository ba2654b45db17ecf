//! CreatePermission: all or nothing, judged by the policy, remembered for five minutes.

use stun_types::attribute::{AttributeType, RawAttribute};
use turn_types::message::CREATE_PERMISSION;

use super::harness::*;
use crate::turn::Counter;

fn permitted(s: &TestServer) -> Vec<String> {
    let view = s.server.allocations().next().unwrap();
    view.permissions
        .iter()
        .map(|p| p.peer.to_string())
        .collect()
}

#[test]
fn several_peers_are_permitted_at_once_for_five_minutes() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_permission(
        &alice(),
        &[PEER, OTHER, PEER],
        &["1000 CreatePermission ok"],
    );
    assert_eq!(permitted(&s), ["8.8.8.8", "9.9.9.9"]);
    s.advance(200);
    s.expect_permission(&alice(), &[OTHER], &["1000 CreatePermission ok"]);
    s.advance(100);
    assert_eq!(permitted(&s), ["9.9.9.9"]);
    s.advance(200);
    assert_eq!(permitted(&s), [""; 0]);
}

#[test]
fn one_denied_peer_refuses_them_all_and_the_rule_is_kept_for_the_operator() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_permission(
        &alice(),
        &[PEER, "10.0.0.1:1"],
        &["1000 CreatePermission 403"],
    );
    assert_eq!(permitted(&s), [""; 0]);
    let refusal = s.server.refusals().next().unwrap();
    assert_eq!(
        (refusal.user.as_str(), refusal.reason.as_str()),
        (
            "alice",
            r#"denied by built-in rule "private (10.0.0.0/8)"; allow it with peers.allow"#
        )
    );
    let by_rule: Vec<_> = s.server.counters().refusals().collect();
    assert_eq!(by_rule, [("private (10.0.0.0/8)", 1)]);
    assert_eq!(s.server.counters().get(Counter::Answered403), 1);
}

#[test]
fn only_the_last_refusals_are_kept() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    for i in 0..100 {
        s.expect_permission(
            &alice(),
            &[&format!("10.0.0.{i}:1")],
            &["1000 CreatePermission 403"],
        );
    }
    let peers: Vec<_> = s
        .server
        .refusals()
        .map(|r| r.peer.ip().to_string())
        .collect();
    assert_eq!(peers.len(), 64);
    assert_eq!(peers.last().unwrap(), "10.0.0.99");
}

#[test]
fn a_peer_of_the_other_family_is_443() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_permission(
        &alice(),
        &[PEER, "[2a00::1]:1"],
        &["1000 CreatePermission 443"],
    );
    s.expect_permission(
        &alice(),
        &["[::ffff:8.8.8.8]:1"],
        &["1000 CreatePermission 443"],
    );
    s.expect_bind(&alice(), 0x4000, "[2a00::1]:1", &["1000 ChannelBind 443"]);
    assert_eq!(permitted(&s), [""; 0]);
}

#[test]
fn no_peer_or_a_malformed_one_is_400() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect(
        &alice(),
        CREATE_PERMISSION,
        &[],
        &["1000 CreatePermission 400"],
    );
    let malformed = RawAttribute::new(AttributeType::new(0x0012), &[0, 1, 0]);
    let good = s.peer(PEER);
    s.expect(
        &alice(),
        CREATE_PERMISSION,
        &[&good, &malformed],
        &["1000 CreatePermission 400"],
    );
    assert_eq!(permitted(&s), [""; 0]);
}

#[test]
fn more_permissions_than_allowed_are_508() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_permission(
        &alice(),
        &["8.8.1.1:1", "8.8.1.2:1", "8.8.1.3:1"],
        &["1000 CreatePermission ok"],
    );
    s.expect_permission(
        &alice(),
        &["8.8.1.4:1", "8.8.1.5:1"],
        &["1000 CreatePermission 508"],
    );
    s.expect_permission(
        &alice(),
        &["8.8.1.4:1", "8.8.1.1:1"],
        &["1000 CreatePermission ok"],
    );
    s.expect_bind(&alice(), 0x4000, "8.8.1.6:1", &["1000 ChannelBind 508"]);
}

#[test]
fn a_permission_prolongs_what_comes_back_on_the_peers_channels() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    s.expect_bind(&alice(), 0x4000, "8.8.8.8:1", &[
        "install 2 192.0.2.1:1000>5.6.7.8:3478 0x4000 until 600, 8.8.8.8:1>5.6.7.8:50000 until 300",
        "1000 ChannelBind ok",
    ]);
    s.expect_bind(&alice(), 0x4001, OTHER, &[
        "install 3 192.0.2.1:1000>5.6.7.8:3478 0x4001 until 600, 9.9.9.9:2000>5.6.7.8:50000 until 300",
        "1000 ChannelBind ok",
    ]);
    s.advance(100);
    s.expect_permission(
        &alice(),
        &["8.8.8.8:7"],
        &["extend 2 600 400", "1000 CreatePermission ok"],
    );
    // A channel to another port of the same peer does so, too.
    s.expect_bind(&alice(), 0x4002, "9.9.9.9:3", &[
        "install 4 192.0.2.1:1000>5.6.7.8:3478 0x4002 until 600, 9.9.9.9:3>5.6.7.8:50000 until 400",
        "extend 3 600 400",
        "1000 ChannelBind ok",
    ]);
}
