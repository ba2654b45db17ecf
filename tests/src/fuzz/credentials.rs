//! User names as they come in requests, and bodies of admin requests.

use std::time::Duration;

use relay_userspace::admin::request;
use relay_userspace::config::{Auth, User};
use relay_userspace::credentials::{Algorithm, Credentials};
use relay_userspace::secret::Secret;

use super::input::Input;

/// A name is a user, a time-limited one that can be minted again, or nobody.
pub fn credentials(input: &[u8]) {
    let mut input = Input(input);
    let (ttl, now) = (input.long(), input.long());
    let Ok(name) = std::str::from_utf8(input.rest()) else {
        return;
    };
    let secret = |text: &str| Secret::new(text.to_owned());
    let credentials = Credentials::new(&Auth {
        realm: "lab".to_owned(),
        secrets: vec![secret("new"), secret("old")],
        users: vec![User {
            name: "alice".to_owned(),
            password: secret("wonderland"),
        }],
        ..Auth::default()
    });
    if let Some(found) = credentials.candidates(name, Algorithm::Md5) {
        assert_eq!(found.proofs.len(), if name == "alice" { 1 } else { 2 });
        assert_eq!(found.expires.is_none(), name == "alice");
        assert!(name.ends_with(found.name));
    }
    let (ttl, now) = (Duration::from_secs(ttl.into()), u64::from(now));
    let (username, _) = credentials.mint(name, ttl, now).expect("there are secrets");
    let found = credentials
        .candidates(&username, Algorithm::Sha256)
        .expect("it was minted");
    assert_eq!(found.expires, Some(now + ttl.as_secs()));
    assert_eq!(found.name, if name.is_empty() { &username } else { name });
}

/// A body is refused, or becomes something that has the limits of the configuration.
pub fn admin(input: &[u8]) {
    if let Ok(body) = serde_json::from_slice(input)
        && let Ok(forward) = request::forward(body)
    {
        assert!(relay_userspace::config::forward_limits(&forward).is_ok());
        let kept = serde_json::to_vec(&forward).expect("the journal keeps it");
        let read = serde_json::from_slice(&kept).expect("and reads it");
        assert_eq!(forward, read);
    }
    if let Ok(body) = serde_json::from_slice(input)
        && let Ok((host, _)) = request::credentials(&body)
    {
        assert!(request::user(&body.user).is_ok());
        assert!((1..=request::LONGEST_TTL).contains(&body.ttl_seconds));
        let plain = |c: char| !c.is_whitespace() && !c.is_control();
        assert!(host.is_none_or(|host| !host.is_empty() && host.chars().all(plain)));
    }
}
