//! Who is let in: challenges, nonces, expiring users, wrong credentials.

use std::time::Duration;

use stun_types::attribute::{Nonce, Realm, Username};
use stun_types::message::{
    IntegrityAlgorithm, MessageClass, MessageWrite as _, MessageWriteExt as _,
};
use turn_types::attribute::{Lifetime, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};

use super::harness::*;

fn udp() -> RequestedTransport {
    RequestedTransport::new(17)
}

#[test]
fn a_request_without_integrity_is_challenged() {
    let mut s = TestServer::new();
    let request = s
        .unsigned(MessageClass::Request, ALLOCATE, &[&udp()])
        .finish();
    s.receive(&alice(), &request);
    s.assert_commands(&["1000 Allocate 401 challenge unsigned"]);
    assert_eq!(s.server.poll_timeout(), None);
}

#[test]
fn integrity_without_its_companions_is_400() {
    for missing in 0..3 {
        let mut s = TestServer::new();
        let nonce = Nonce::new(&s.nonce(&alice())).unwrap();
        let (name, realm) = (Username::new("alice").unwrap(), Realm::new(REALM).unwrap());
        let all: [&dyn stun_types::attribute::AttributeWrite; 3] = [&name, &realm, &nonce];
        let some: Vec<_> = (0..3).filter(|i| *i != missing).map(|i| all[i]).collect();
        let mut message = s.unsigned(MessageClass::Request, ALLOCATE, &some);
        message
            .add_message_integrity_with_key(&key(&alice()), IntegrityAlgorithm::Sha1)
            .unwrap();
        s.receive(&alice(), &message.finish());
        s.assert_commands(&["1000 Allocate 400 unsigned"]);
    }
}

#[test]
fn strangers_and_wrong_passwords_get_the_same_401() {
    let mut s = TestServer::new();
    s.expect(
        &client(1, "mallory", "x"),
        ALLOCATE,
        &[&udp()],
        &["1 Allocate 401 challenge unsigned"],
    );
    s.expect(
        &client(2, "alice", "x"),
        ALLOCATE,
        &[&udp()],
        &["2 Allocate 401 challenge unsigned"],
    );
    let request = s.signed_with(
        &alice(),
        ALLOCATE,
        &[&udp()],
        &s.nonce(&alice()),
        "other.example",
    );
    s.receive(&alice(), &request);
    s.assert_commands(&["1000 Allocate 401 challenge unsigned"]);
}

#[test]
fn a_stale_or_foreign_nonce_is_438_with_a_new_one() {
    let mut s = TestServer::new();
    let request = s.request(&alice(), ALLOCATE, &[&udp()]);
    s.elapse(3600);
    s.receive(&alice(), &request);
    s.assert_commands(&["1000 Allocate 438 challenge unsigned"]);
    let foreign = s.nonce(&bob());
    let request = s.signed_with(&alice(), ALLOCATE, &[&udp()], &foreign, REALM);
    s.receive(&alice(), &request);
    s.assert_commands(&["1000 Allocate 438 challenge unsigned"]);
}

#[test]
fn a_tampered_request_is_401() {
    let mut s = TestServer::new();
    let mut request = s.request(&alice(), ALLOCATE, &[&udp(), &Lifetime::new(600)]);
    request[35] ^= 1;
    s.receive(&alice(), &request);
    s.assert_commands(&["1000 Allocate 401 challenge unsigned"]);
}

#[test]
fn fingerprints_are_answered_with_fingerprints() {
    let mut s = TestServer::new();
    let mut message = s.unsigned(MessageClass::Request, ALLOCATE, &[]);
    message.add_fingerprint().unwrap();
    s.receive(&alice(), &message.finish());
    s.assert_commands(&["1000 Allocate 401 challenge unsigned fingerprint"]);
}

fn minted(secret: usize, ttl: u64) -> Client {
    let mut auth = auth();
    auth.secrets = vec![auth.secrets[secret].clone()];
    let (username, password) = crate::credentials::Credentials::new(&auth)
        .mint("carol", Duration::from_secs(ttl), UNIX)
        .unwrap();
    client(3000, &username, &password)
}

#[test]
fn time_limited_users_of_any_secret_may_allocate_until_they_expire() {
    for secret in 0..SECRETS.len() {
        let carol = minted(secret, 60);
        let mut s = TestServer::new();
        s.know(&carol);
        s.elapse(59);
        s.allocate(&carol);
        assert_eq!(s.server.allocations().next().unwrap().user, "carol");

        let mut s = TestServer::new();
        s.elapse(60);
        s.expect(
            &carol,
            ALLOCATE,
            &[&udp()],
            &["3000 Allocate 401 challenge unsigned"],
        );
    }
}

#[test]
fn an_allocation_outlives_the_credential_that_made_it() {
    let carol = minted(0, 60);
    let mut s = TestServer::new();
    s.know(&carol);
    s.allocate(&carol);
    s.advance(300);
    s.expect_refresh(&carol, 600, &["3000 Refresh ok lifetime 600"]);
    s.expect_refresh(
        &carol,
        0,
        &["release 5.6.7.8:50000", "3000 Refresh ok lifetime 0"],
    );
    s.expect(
        &carol,
        ALLOCATE,
        &[&udp()],
        &["3000 Allocate 401 challenge unsigned"],
    );
}

#[test]
fn another_user_of_the_same_client_is_441() {
    let mut s = TestServer::new();
    s.allocate(&alice());
    let impostor = client(1000, "bob", "builder");
    s.expect(
        &impostor,
        REFRESH,
        &[&Lifetime::new(0)],
        &["1000 Refresh 441"],
    );
    s.expect_permission(&impostor, &[PEER], &["1000 CreatePermission 441"]);
    s.expect_bind(&impostor, 0x4000, PEER, &["1000 ChannelBind 441"]);
    assert_eq!(s.server.allocations().count(), 1);
}

#[test]
fn requests_without_an_allocation_are_437() {
    let mut s = TestServer::new();
    s.expect_refresh(&alice(), 600, &["1000 Refresh 437"]);
    s.expect_permission(&alice(), &[PEER], &["1000 CreatePermission 437"]);
    s.expect_bind(&alice(), 0x4000, PEER, &["1000 ChannelBind 437"]);
}
