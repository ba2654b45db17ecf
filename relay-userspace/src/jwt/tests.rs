//! Tokens that are good, and every way they are not.

use std::time::Duration;

use hmac::{Hmac, Mac};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::Sha256;

use super::*;
use crate::config::{Jwt, JwtKey};
use crate::secret::Secret;

const NOW: u64 = 1_700_000_000;
const SHARED: &str = "0123456789abcdef0123456789abcdef";

fn pair() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap()
}

fn public() -> [u8; 32] {
    pair().public_key().as_ref().try_into().unwrap()
}

fn verifier() -> Verifier {
    let named = |kid: &str, key| JwtKey {
        kid: kid.to_owned(),
        key,
        file: "unused".into(),
    };
    Verifier::new(&Jwt {
        issuer: "https://id.example".to_owned(),
        audience: "relay".to_owned(),
        clock_skew: Duration::from_secs(30),
        keys: vec![
            named("ed", Key::EdDsa(public())),
            named("hs", Key::read(Algorithm::Hs256, SHARED).unwrap()),
        ],
    })
}

fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "relay", "exp": NOW + 60, "sub": "ann", "scope": "read ice other"})
}

fn signed(header: &Value, body: &Value, sign: impl Fn(&[u8]) -> Vec<u8>) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(body));
    let signature = URL_SAFE_NO_PAD.encode(sign(text.as_bytes()));
    format!("{text}.{signature}")
}

fn eddsa(body: &Value) -> String {
    let header = json!({"alg": "EdDSA", "kid": "ed", "typ": "JWT"});
    signed(&header, body, |text| pair().sign(text).as_ref().to_vec())
}

fn mac(key: &[u8], text: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text);
    mac.finalize().into_bytes().to_vec()
}

fn with(key: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[key] = value;
    claims
}

#[track_caller]
fn distrusted(token: &str, why: Distrust) {
    assert_eq!(verifier().verify(token, NOW), Err(why), "{token}");
}

#[test]
fn a_good_token_of_either_algorithm_says_who_it_is_and_what_it_may() {
    let header = json!({"alg": "HS256", "kid": "hs"});
    let hs256 = signed(&header, &claims(), |text| mac(SHARED.as_bytes(), text));
    for token in [eddsa(&claims()), hs256] {
        let claims = verifier().verify(&token, NOW).unwrap();
        assert_eq!(claims.subject, "ann");
        assert_eq!(claims.scopes, [Scope::Read, Scope::Ice]);
        assert!(claims.may(Scope::Ice) && !claims.may(Scope::Admin));
    }
    let many = eddsa(&with("aud", json!(["other", "relay"])));
    assert!(verifier().verify(&many, NOW).is_ok());
}

#[test]
fn time_counts_with_the_clock_skew_that_is_allowed() {
    let token = eddsa(&claims());
    assert!(verifier().verify(&token, NOW + 89).is_ok());
    assert_eq!(verifier().verify(&token, NOW + 90), Err(Distrust::Expired));
    let later = eddsa(&with("nbf", json!(NOW + 40)));
    distrusted(&later, Distrust::TooEarly);
    assert!(verifier().verify(&later, NOW + 10).is_ok());
}

#[test]
fn claims_of_another_kind_or_for_somebody_else_are_refused() {
    distrusted(
        &eddsa(&with("iss", json!("https://evil.example"))),
        Distrust::WrongIssuer,
    );
    distrusted(
        &eddsa(&with("aud", json!("studio"))),
        Distrust::WrongAudience,
    );
    for (key, value) in [
        ("exp", json!("9999999999")),
        ("exp", json!(null)),
        ("nbf", json!("soon")),
        ("sub", json!(7)),
        ("aud", json!({"relay": true})),
    ] {
        distrusted(&eddsa(&with(key, value)), Distrust::Incomplete);
    }
    let mut endless = claims();
    endless.as_object_mut().unwrap().remove("exp");
    distrusted(&eddsa(&endless), Distrust::Incomplete);
}

#[test]
fn the_key_decides_the_algorithm_and_the_header_never_does() {
    let none = |header: Value| signed(&header, &claims(), |_| Vec::new());
    for alg in ["none", "None", "", "EdDSA"] {
        distrusted(
            &none(json!({"alg": alg, "kid": "ed"})),
            Distrust::BadSignature,
        );
    }
    // The public key as the secret of HS256.
    for kid in ["ed", "hs"] {
        let header = json!({"alg": "HS256", "kid": kid});
        let confused = signed(&header, &claims(), |text| mac(&public(), text));
        distrusted(&confused, Distrust::BadSignature);
    }
    let header = json!({"alg": "EdDSA", "kid": "hs"});
    let other = signed(&header, &claims(), |text| {
        pair().sign(text).as_ref().to_vec()
    });
    distrusted(&other, Distrust::BadSignature);
}

#[test]
fn a_key_that_was_rotated_away_and_extensions_nobody_knows_are_refused() {
    let header = json!({"alg": "EdDSA", "kid": "old"});
    let old = signed(&header, &claims(), |text| {
        pair().sign(text).as_ref().to_vec()
    });
    distrusted(&old, Distrust::UnknownKey);
    let header = json!({"alg": "EdDSA"});
    let unnamed = signed(&header, &claims(), |text| {
        pair().sign(text).as_ref().to_vec()
    });
    distrusted(&unnamed, Distrust::UnknownKey);
    let header = json!({"alg": "EdDSA", "kid": "ed", "crit": ["b64"], "b64": false});
    let critical = signed(&header, &claims(), |text| {
        pair().sign(text).as_ref().to_vec()
    });
    distrusted(&critical, Distrust::Critical);
    let wrong = Ed25519KeyPair::from_seed_unchecked(&[8; 32]).unwrap();
    let header = json!({"alg": "EdDSA", "kid": "ed"});
    let forged = signed(&header, &claims(), |text| {
        wrong.sign(text).as_ref().to_vec()
    });
    distrusted(&forged, Distrust::BadSignature);
}

#[test]
fn no_byte_of_a_token_can_be_changed() {
    let token = eddsa(&claims());
    for at in 0..token.len() {
        let mut changed = token.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(changed).unwrap();
        assert!(verifier().verify(&changed, NOW).is_err(), "byte {at}");
    }
}

#[test]
fn keys_are_read_from_pem_and_short_secrets_are_refused() {
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    assert!(matches!(
        Key::read(Algorithm::EdDsa, pem),
        Ok(Key::EdDsa(_))
    ));
    assert_eq!(
        Key::read(Algorithm::EdDsa, SHARED),
        Err(KeyFault::NotEd25519)
    );
    assert_eq!(Key::read(Algorithm::Hs256, "short"), Err(KeyFault::Short));
    let secret = Key::Hs256(Secret::new(b"hidden".to_vec()));
    assert!(!format!("{secret:?}").contains("hidden"));
}
