//! Minting and recognising credentials, against vectors made with openssl.

use super::*;

const NOW: u64 = 1_700_000_000;

fn credentials(secrets: &[&str]) -> Credentials {
    Credentials::new(&Auth {
        realm: "relay.example".into(),
        secrets: secrets
            .iter()
            .map(|s| Secret::new((*s).to_owned()))
            .collect(),
        users: vec![User {
            name: "alice".into(),
            password: Secret::new("wonderland".to_owned()),
        }],
        ..Auth::default()
    })
}

#[test]
fn minted_password_is_base64_of_hmac_sha1_over_the_username() {
    // printf 1700003600:bob | openssl dgst -sha1 -hmac north -binary | base64
    let (username, password) = credentials(&["north"])
        .mint("bob", Duration::from_secs(3600), NOW)
        .unwrap();
    assert_eq!(username, "1700003600:bob");
    assert_eq!(password, "v0IYSihM8PccX7hQh0Fbh4kDdk8=");
}

#[test]
fn any_of_the_secrets_proves_a_minted_user() {
    let (username, password) = credentials(&["old"])
        .mint("bob", Duration::from_secs(60), NOW)
        .unwrap();
    let rotated = credentials(&["new", "old"]);
    let candidates = rotated.candidates(&username, Algorithm::Md5).unwrap();
    assert_eq!(candidates.name, "bob");
    assert_eq!(candidates.expires, Some(NOW + 60));
    let key = LongTermKey::new(Algorithm::Md5, &username, "relay.example", &password);
    assert!(candidates.proofs.iter().any(|proof| proof.key == key));
}

#[test]
fn an_empty_name_mints_a_bare_expiry() {
    let credentials = credentials(&["north"]);
    let (username, _) = credentials.mint("", Duration::from_secs(60), NOW).unwrap();
    assert_eq!(username, "1700000060");
    assert_eq!(
        credentials
            .candidates(&username, Algorithm::Md5)
            .unwrap()
            .expires,
        Some(NOW + 60)
    );
}

#[test]
fn nothing_is_minted_without_a_shared_secret() {
    assert_eq!(
        credentials(&[]).mint("bob", Duration::from_secs(60), NOW),
        None
    );
    assert!(
        credentials(&[])
            .candidates("1700003600:bob", Algorithm::Md5)
            .is_none()
    );
}

#[test]
fn a_static_user_never_expires() {
    let credentials = credentials(&["north"]);
    let alice = credentials.candidates("alice", Algorithm::Md5).unwrap();
    assert_eq!(
        (alice.name, alice.expires, alice.proofs.len()),
        ("alice", None, 1)
    );
}

#[test]
fn a_username_that_is_neither_known_nor_timed_has_no_key() {
    let credentials = credentials(&["north"]);
    for username in [
        "",
        "mallory",
        ":bob",
        "+5:bob",
        "-1:bob",
        "12x:bob",
        "99999999999999999999999:bob",
    ] {
        assert!(
            credentials.candidates(username, Algorithm::Md5).is_none(),
            "{username:?}"
        );
    }
}

#[test]
fn printing_credentials_shows_no_secret_and_no_key() {
    let printed = format!("{:?}", credentials(&["north-star"]));
    assert!(
        !printed.contains("north-star") && !printed.contains("bytes"),
        "{printed}"
    );
}

#[test]
fn only_static_users_are_found_by_their_hash() {
    let hash = Userhash::compute("alice", "relay.example");
    let both = credentials(&["north"]);
    assert_eq!(both.named(&hash), Some("alice"));
    assert_eq!(
        both.named(&Userhash::compute("1700003600:bob", "relay.example")),
        None
    );
    assert!(!both.knows_all_names());
    assert!(credentials(&[]).knows_all_names());
}

#[test]
fn a_credential_of_a_secret_ends_with_the_account_its_owner_speaks_of() {
    let credentials = credentials(&["north"]);
    let (username, _) = credentials
        .mint("bob", Duration::from_secs(60), NOW)
        .unwrap();
    for (account, expected) in [(Some(NOW + 5), 5), (Some(NOW + 900), 60), (None, 60)] {
        let record = Record::until(account);
        let vouched = credentials.vouched(&username, Algorithm::Md5, &record);
        assert_eq!(vouched.unwrap().expires, Some(NOW + expected));
    }
}
