//! Accounts that change while allocations live, credentials that end them, and what users may hold together.

use std::sync::Arc;
use std::time::Duration;

use turn_types::attribute::RequestedTransport;
use turn_types::message::ALLOCATE;

use super::harness::*;
use crate::config::{Auth, Limits};
use crate::credentials::Credentials;
use crate::secret::Secret;
use crate::turn::{Ceilings, Rules};

/// A user of the shared secret `secret`, whose credential ends `ttl` seconds after the start.
fn minted(secret: &str, name: &str, port: u16, ttl: u64) -> Client {
    let made = Credentials::new(&Auth {
        secrets: vec![Secret::new(secret.to_owned())],
        ..auth()
    });
    let ttl = Duration::from_secs(ttl);
    let (username, password) = made.mint(name, ttl, UNIX).unwrap();
    client(port, &username, &password)
}

fn adopt(s: &mut TestServer, auth: Auth, strict_expiry: bool) {
    let rules = Rules {
        credentials: Arc::new(Credentials::new(&auth)),
        limits: limits(),
        strict_expiry,
        directory: None,
        alternates: Default::default(),
        mobility: true,
    };
    s.server.adopt(s.now, rules);
}

fn with_secrets(secrets: &[&str]) -> Auth {
    let secret = |text: &&str| Secret::new((*text).to_owned());
    Auth {
        secrets: secrets.iter().map(secret).collect(),
        ..auth()
    }
}

#[test]
fn rotated_secrets_let_new_users_in_and_end_only_those_of_the_secret_that_is_gone() {
    let (old, kept) = (
        minted("north", "ann", 3001, 900),
        minted("south", "ben", 3002, 900),
    );
    let new = minted("west", "cid", 3003, 900);
    let mut s = TestServer::new();
    for client in [&old, &kept, &new] {
        s.know(client);
    }
    let gone = s.allocate(&old);
    s.allocate(&kept);
    s.allocate(&alice());
    s.expect(
        &new,
        ALLOCATE,
        &[&RequestedTransport::new(17)],
        &["3003 Allocate 401 challenge unsigned"],
    );

    adopt(&mut s, with_secrets(&["west", "south", "north"]), false);
    s.assert_commands(&[]);
    s.allocate(&new);
    adopt(&mut s, with_secrets(&["west", "south"]), false);
    s.assert_commands(&[&format!("release {gone}")]);
    s.expect_refresh(&kept, 600, &["3002 Refresh ok lifetime 600"]);
    s.expect_refresh(&new, 600, &["3003 Refresh ok lifetime 600"]);
    s.expect_refresh(&old, 600, &["3001 Refresh 401 challenge unsigned"]);
    s.expect_refresh(&alice(), 600, &["1000 Refresh ok lifetime 600"]);
}

#[test]
fn a_user_whose_password_changed_is_let_in_with_the_new_one_only() {
    let mut s = TestServer::new();
    let relayed = s.allocate(&alice());
    s.allocate(&bob());
    let mut changed = auth();
    changed.users[0].password = Secret::new("looking-glass".to_owned());
    adopt(&mut s, changed, false);
    s.assert_commands(&[&format!("release {relayed}")]);
    let request = [&RequestedTransport::new(17) as _];
    s.expect(
        &alice(),
        ALLOCATE,
        &request,
        &["1000 Allocate 401 challenge unsigned"],
    );
    s.known.retain(|client| client.username != "alice");
    let renewed = client(1000, "alice", "looking-glass");
    s.know(&renewed);
    s.allocate(&renewed);
}

#[test]
fn with_strict_expiry_sessions_and_their_deadlines_end_with_the_credential() {
    let carol = minted("north", "carol", 3000, 100);
    let mut s = TestServer::with(limits(), |config| config.strict_expiry = true);
    // Seven tenths of the first second are over: the credential ends in 99.3 s.
    s.now.into_second = Duration::from_millis(700);
    s.know(&carol);
    let relayed = s.allocate(&carol);
    let view = s.server.allocations().next().unwrap();
    assert_eq!(view.expires, s.start + Duration::from_millis(99_300));
    let install = format!(
        "install 2 192.0.2.1:3000>5.6.7.8:3478 0x4000 until 99, 8.8.8.8:1000>{relayed} until 99"
    );
    s.expect_bind(&carol, 0x4000, PEER, &[&install, "3000 ChannelBind ok"]);
    s.elapse(50);
    s.expect_refresh(&carol, 3600, &["3000 Refresh ok lifetime 49"]);
    assert_eq!(s.server.poll_timeout(), Some(view.expires));
    s.advance(50);
    s.assert_commands(&["remove 2", &format!("release {relayed}")]);
    s.expect_refresh(&carol, 600, &["3000 Refresh 401 challenge unsigned"]);
}

#[test]
fn strict_expiry_that_is_switched_on_holds_for_what_runs() {
    let (carol, late) = (
        minted("north", "carol", 3000, 100),
        minted("north", "dan", 3001, 20),
    );
    let mut s = TestServer::new();
    for client in [&carol, &late] {
        s.know(client);
    }
    s.allocate(&carol);
    let over = s.allocate(&late);
    s.allocate(&alice());
    s.advance(50);
    adopt(&mut s, auth(), true);
    s.advance(0);
    s.assert_commands(&[&format!("release {over}")]);
    s.advance(50);
    let left: Vec<_> = s.server.allocations().map(|view| view.user).collect();
    assert_eq!(left, ["alice"]);
}

#[test]
fn the_allocations_of_a_user_share_its_channels_and_permissions() {
    let limits = Limits {
        channels_per_user: Some(2),
        permissions_per_user: Some(3),
        ..limits()
    };
    let mut s = TestServer::with(limits, |_| {});
    let second = client(1001, "alice", "wonderland");
    for client in [&alice(), &second, &bob()] {
        s.allocate(client);
    }
    let full = |port: u16, request: &str| format!("{port} {request} 508");
    s.server.next_command();
    for (client, number, peer) in [(alice(), 0x4000, PEER), (second.clone(), 0x4000, OTHER)] {
        let peer = s.peer(peer);
        let number = turn_types::attribute::ChannelNumber::new(number);
        let request = s.request(
            &client,
            turn_types::message::CHANNEL_BIND,
            &[&number, &peer],
        );
        s.receive(&client, &request);
        while s.server.next_command().is_some() {}
    }
    s.expect_bind(&alice(), 0x4001, OTHER, &[&full(1000, "ChannelBind")]);
    s.expect_permission(&second, &["7.7.7.7:1"], &["1001 CreatePermission ok"]);
    s.expect_permission(&alice(), &["7.7.7.7:1"], &[&full(1000, "CreatePermission")]);
    s.expect_permission(&bob(), &["7.7.7.7:1"], &["2000 CreatePermission ok"]);
    // Permissions end first.
    s.advance(300);
    while s.server.next_command().is_some() {}
    s.expect_permission(
        &alice(),
        &["7.7.7.7:1"],
        &["extend 4 600 0", "1000 CreatePermission ok"],
    );
}

#[test]
fn the_users_of_one_group_of_secrets_share_what_it_may_have() {
    let mut auth = auth();
    auth.shared = vec![crate::config::SharedSecrets {
        id: "web".to_owned(),
        secrets: vec![Secret::new("east".to_owned())],
        file: None,
        caps: crate::config::Caps {
            allocations: Some(1),
            ..Default::default()
        },
        limit: Default::default(),
    }];
    let (ann, ben) = (
        minted("east", "ann", 3001, 900),
        minted("east", "ben", 3002, 900),
    );
    let mut s = TestServer::with(limits(), |config| {
        config.credentials = Arc::new(Credentials::new(&auth));
        config.shared.set_ceilings(Ceilings::new(&limits(), &auth));
    });
    for client in [&ann, &ben] {
        s.know(client);
    }
    s.allocate(&ann);
    let request = [&RequestedTransport::new(17) as _];
    s.expect(&ben, ALLOCATE, &request, &["3002 Allocate 486"]);
    s.allocate(&alice());
}
