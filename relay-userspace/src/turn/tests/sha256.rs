//! Clients of RFC 8489: SHA-256 passwords and integrity, chosen from an offer nobody may shorten, and users without names.

use stun_types::attribute::*;
use stun_types::message::*;
use turn_types::attribute::{Lifetime, RequestedTransport};
use turn_types::message::{ALLOCATE, REFRESH};

use super::harness::*;
use crate::config::Auth;
use crate::credentials::{self, Algorithm, Credentials, LongTermKey};
use crate::turn::Command;

const OFFER: [PasswordAlgorithmValue; 2] =
    [PasswordAlgorithmValue::SHA256, PasswordAlgorithmValue::MD5];

/// What of the mechanism a client uses.
#[derive(Clone, Copy)]
struct Use {
    offer: Option<&'static [PasswordAlgorithmValue]>,
    chosen: Option<PasswordAlgorithmValue>,
    integrity: IntegrityAlgorithm,
    by_hash: bool,
}

const FULLY: Use = Use {
    offer: Some(&OFFER),
    chosen: Some(PasswordAlgorithmValue::SHA256),
    integrity: IntegrityAlgorithm::Sha256,
    by_hash: true,
};

fn key_of(client: &Client, algorithm: Algorithm) -> LongTermKey {
    LongTermKey::new(algorithm, &client.username, REALM, &client.password)
}

fn request(s: &mut TestServer, client: &Client, method: Method, how: Use) -> Vec<u8> {
    s.transaction += 1;
    let nonce = s.nonce(client);
    let attributes: &[&dyn AttributeWrite] = match method {
        ALLOCATE => &[&RequestedTransport::new(17)],
        _ => &[&Lifetime::new(600)],
    };
    let mut message = s.unsigned(MessageClass::Request, method, attributes);
    let mut add = |attribute: &dyn AttributeWrite| message.add_attribute(attribute).unwrap();
    match how.by_hash {
        true => add(&Userhash::new(Userhash::compute(&client.username, REALM))),
        false => add(&Username::new(&client.username).unwrap()),
    }
    add(&Realm::new(REALM).unwrap());
    add(&Nonce::new(&nonce).unwrap());
    if let Some(offer) = how.offer {
        add(&PasswordAlgorithms::new(offer));
    }
    if let Some(chosen) = how.chosen {
        add(&PasswordAlgorithm::new(chosen));
    }
    let algorithm = how.chosen.map_or(Algorithm::Md5, Algorithm::from);
    let integrity = match how.integrity {
        IntegrityAlgorithm::Sha1 => credentials::Integrity::Sha1,
        IntegrityAlgorithm::Sha256 => credentials::Integrity::Sha256,
    };
    key_of(client, algorithm).protect(&mut message, integrity);
    message.finish()
}

/// The error code, or 0; and whether exactly the request's integrity protects it.
fn answer(s: &mut TestServer, client: &Client, how: Use) -> (u16, bool) {
    let Some(Command::Send { bytes, .. }) = s.server.next_command() else {
        panic!("no answer")
    };
    s.assert_commands(&[]);
    let message = Message::from_bytes(&bytes).unwrap();
    let code = message.attribute::<ErrorCode>().map_or(0, |e| e.code());
    let (sha1, sha256) = (
        message.has_attribute(MessageIntegrity::TYPE),
        message.has_attribute(MessageIntegritySha256::TYPE),
    );
    let asked = how.integrity == IntegrityAlgorithm::Sha256;
    let algorithm = how.chosen.map_or(Algorithm::Md5, Algorithm::from);
    let proven = key_of(client, algorithm).proves(&message);
    (code, proven && sha256 == asked && sha1 != asked)
}

fn static_users_only() -> TestServer {
    TestServer::with(limits(), |config| {
        let auth = Auth {
            secrets: vec![],
            ..auth()
        };
        config.credentials = Credentials::new(&auth).into();
    })
}

#[test]
fn every_combination_of_the_mechanism_allocates_and_is_answered_alike() {
    use IntegrityAlgorithm::{Sha1, Sha256};
    use PasswordAlgorithmValue::{MD5, SHA256};
    for chosen in [None, Some(MD5), Some(SHA256)] {
        for integrity in [Sha1, Sha256] {
            for by_hash in [false, true] {
                let offer = chosen.map(|_| &OFFER[..]);
                let how = Use {
                    offer,
                    chosen,
                    integrity,
                    by_hash,
                };
                let mut s = static_users_only();
                let bytes = request(&mut s, &alice(), ALLOCATE, how);
                s.receive(&alice(), &bytes);
                s.bind();
                assert_eq!(answer(&mut s, &alice(), how), (0, true));
                let bytes = request(&mut s, &alice(), REFRESH, how);
                s.receive(&alice(), &bytes);
                assert_eq!(answer(&mut s, &alice(), how), (0, true));
                let name = s.server.allocations().next().unwrap().user;
                assert_eq!(name, "alice");
            }
        }
    }
}

#[test]
fn the_codecs_own_sha256_integrity_is_taken() {
    let mut s = TestServer::new();
    let how = Use {
        by_hash: false,
        ..FULLY
    };
    let own = request(&mut s, &alice(), ALLOCATE, how);
    let codecs = LongTermKeyCredentials::new("alice".into(), "wonderland".into(), REALM.into())
        .make_key(IntegrityAlgorithm::Sha256);
    let message = Message::from_bytes(&own).unwrap();
    assert!(message.validate_integrity_with_key(&codecs).is_ok());
}

#[test]
fn an_offer_that_was_shortened_on_the_way_is_400() {
    use PasswordAlgorithmValue::{MD5, SHA256};
    let shortened = [
        (Some(&[MD5][..]), Some(MD5)),
        (Some(&[MD5, SHA256]), Some(SHA256)),
        (Some(&OFFER), None),
        (None, Some(SHA256)),
        (None, Some(MD5)),
    ];
    for (offer, chosen) in shortened {
        let mut s = static_users_only();
        let how = Use {
            offer,
            chosen,
            ..FULLY
        };
        let bytes = request(&mut s, &alice(), ALLOCATE, how);
        s.receive(&alice(), &bytes);
        s.assert_commands(&["1000 Allocate 400 unsigned"]);
    }
}

#[test]
fn a_truncated_integrity_proves_nobody() {
    for kept in [16, 28] {
        let mut s = static_users_only();
        let mut bytes = request(&mut s, &alice(), ALLOCATE, FULLY);
        let cut = 32 - kept;
        bytes.truncate(bytes.len() - cut);
        let header = bytes.len() - kept - 2;
        bytes[header..header + 2].copy_from_slice(&(kept as u16).to_be_bytes());
        let length = (bytes.len() - 20) as u16;
        bytes[2..4].copy_from_slice(&length.to_be_bytes());
        s.receive(&alice(), &bytes);
        s.assert_commands(&["1000 Allocate 401 challenge unsigned"]);
    }
}

#[test]
fn a_hash_of_nobody_is_401_and_a_name_and_a_hash_are_each_enough() {
    let mut s = static_users_only();
    let mallory = client(1000, "mallory", "wonderland");
    let bytes = request(&mut s, &mallory, ALLOCATE, FULLY);
    s.receive(&mallory, &bytes);
    s.assert_commands(&["1000 Allocate 401 challenge unsigned"]);
}

#[test]
fn anonymity_is_announced_exactly_when_every_user_can_be_found() {
    let with_secrets = TestServer::new();
    assert!(with_secrets.nonce(&alice()).starts_with("obMatJos2gAAA"));
    assert!(
        static_users_only()
            .nonce(&alice())
            .starts_with("obMatJos2wAAA")
    );
}

#[test]
fn a_challenge_offers_sha256_before_md5() {
    let mut s = TestServer::new();
    let request = s.unsigned(MessageClass::Request, ALLOCATE, &[]).finish();
    s.receive(&alice(), &request);
    let Some(Command::Send { bytes, .. }) = s.server.next_command() else {
        panic!("no answer")
    };
    let message = Message::from_bytes(&bytes).unwrap();
    let offer = message.attribute::<PasswordAlgorithms>().unwrap();
    assert_eq!(offer.algorithms(), OFFER);
}
