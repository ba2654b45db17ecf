//! What strangers and the operator's own services say of accounts: tokens of the API, answers of `auth.hook`.

use std::time::Duration;

use relay_userspace::config::{Jwt, JwtKey};
use relay_userspace::hook::read;
use relay_userspace::jwt::{Algorithm, Key, Verifier};
use relay_userspace::police::Limit;

/// An answer is refused, or keeps the rules of the configuration.
pub fn hook_answer(input: &[u8]) {
    let Ok(answer) = read(input) else { return };
    let Limit {
        bits_per_second: bits,
        packets_per_second: packets,
    } = answer.limit;
    assert!(bits.is_none_or(|bits| bits >= Limit::FEWEST_BITS));
    assert_ne!(packets, Some(0));
    assert!(answer.cache_seconds.is_none_or(|seconds| seconds <= 86_400));
    let password = answer.password.map(|password| password.expose().len());
    assert!(password.is_none_or(|length| (1..=512).contains(&length)));
}

/// Nobody who does not have a key makes a token that is believed.
pub fn jwt(input: &[u8]) {
    let Ok(token) = std::str::from_utf8(input) else {
        return;
    };
    let pem = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";
    let key = |kid: &str, algorithm, text| JwtKey {
        kid: kid.to_owned(),
        key: Key::read(algorithm, text).expect("a key"),
        file: "unused".into(),
    };
    let verifier = Verifier::new(&Jwt {
        issuer: "i".to_owned(),
        audience: "a".to_owned(),
        clock_skew: Duration::from_secs(30),
        keys: vec![
            key("ed", Algorithm::EdDsa, pem),
            key(
                "hs",
                Algorithm::Hs256,
                "a secret of the fuzz target alone, and long",
            ),
        ],
    });
    assert!(verifier.verify(token, 1_700_000_000).is_err(), "{token}");
}
