//! The "TURN REST" convention (draft-uberti-behave-turn-rest): username `expiry:name` or `expiry`,
//! password `base64(HMAC-SHA1(secret, username))`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;

/// The expiry (Unix seconds) and the name in `username`; the name of a bare expiry is the username itself.
pub(super) fn split(username: &str) -> Option<(u64, &str)> {
    let (expiry, name) = match username.split_once(':') {
        Some((expiry, name)) => (expiry, name),
        None => (username, username),
    };
    let digits = !expiry.is_empty() && expiry.bytes().all(|b| b.is_ascii_digit());
    if !digits {
        return None;
    }
    Some((expiry.parse().ok()?, name))
}

pub(super) fn password(secret: &str, username: &str) -> String {
    STANDARD.encode(mac(secret, username))
}

/// Tells secrets apart without giving one away. Not a password of anybody: no user has this name.
pub(super) fn print(secret: &str) -> u64 {
    let mac = mac(secret, "\0which secret");
    u64::from_be_bytes(std::array::from_fn(|i| mac[i]))
}

fn mac(secret: &str, text: &str) -> [u8; 20] {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}
