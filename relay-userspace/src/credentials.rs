//! Who may allocate: static users, and time-limited users of shared secrets (the "TURN REST" convention).
//! Knows keys, never packets, allocations or the clock.

mod key;
mod rest;

use std::collections::HashMap;
use std::time::Duration;

use stun_types::attribute::Userhash;

use crate::config::{Auth, User};
use crate::secret::Secret;

pub use key::{Algorithm, Integrity, LongTermKey};

/// The long-term credentials (RFC 8489 §9.2) of one realm.
#[derive(Debug)]
pub struct Credentials {
    realm: String,
    secrets: Vec<Secret<String>>,
    users: HashMap<String, Keys>,
    /// Static users by USERHASH.
    hashes: HashMap<[u8; 32], String>,
    decoy: LongTermKey,
}

#[derive(Debug)]
struct Keys {
    md5: LongTermKey,
    sha256: LongTermKey,
}

/// What a username could stand for.
#[derive(Debug)]
pub struct Candidates<'a> {
    /// Who it is for quotas and the operator: the username without its expiry.
    pub name: &'a str,
    /// Keys that would prove it; more than one while shared secrets are rotated.
    pub keys: Vec<LongTermKey>,
    /// Unix seconds after which it may make no new allocation.
    pub expires: Option<u64>,
}

impl Credentials {
    pub fn new(auth: &Auth) -> Self {
        let key = |algorithm, user: &User| {
            LongTermKey::new(algorithm, &user.name, &auth.realm, user.password.expose())
        };
        let keys = |user: &User| Keys {
            md5: key(Algorithm::Md5, user),
            sha256: key(Algorithm::Sha256, user),
        };
        let hash = |user: &User| Userhash::compute(&user.name, &auth.realm);
        let users = auth.users.iter();
        let hashes = auth.users.iter();
        Self {
            realm: auth.realm.clone(),
            secrets: auth.secrets.clone(),
            users: users.map(|user| (user.name.clone(), keys(user))).collect(),
            hashes: hashes.map(|user| (hash(user), user.name.clone())).collect(),
            decoy: LongTermKey::new(Algorithm::Md5, "", &auth.realm, ""),
        }
    }

    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// A key of nobody, to spend on an unknown user the time a known one takes.
    pub(crate) fn decoy(&self) -> &LongTermKey {
        &self.decoy
    }

    /// Whether every user can be found by USERHASH: those of shared secrets have names nobody here knows beforehand.
    pub fn knows_all_names(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The static user of a USERHASH (RFC 8489 §14.4).
    pub fn named(&self, hash: &[u8; 32]) -> Option<&str> {
        self.hashes.get(hash).map(String::as_str)
    }

    /// Whether time-limited credentials can be made.
    pub fn has_secret(&self) -> bool {
        !self.secrets.is_empty()
    }

    /// A username and password for `name` that work for `ttl` from `now` (Unix seconds).
    /// `None` when no shared secret is configured. An empty name mints a bare expiry.
    pub fn mint(&self, name: &str, ttl: Duration, now: u64) -> Option<(String, String)> {
        let secret = self.secrets.first()?;
        let expires = now.saturating_add(ttl.as_secs());
        let username = match name {
            "" => expires.to_string(),
            name => format!("{expires}:{name}"),
        };
        let password = rest::password(secret.expose(), &username);
        Some((username, password))
    }

    /// What may prove `username`; `None` when nothing can. A static user wins over the convention.
    pub fn candidates<'a>(
        &self,
        username: &'a str,
        algorithm: Algorithm,
    ) -> Option<Candidates<'a>> {
        if let Some(keys) = self.users.get(username) {
            let key = match algorithm {
                Algorithm::Md5 => &keys.md5,
                Algorithm::Sha256 => &keys.sha256,
            };
            return Some(Candidates {
                name: username,
                keys: vec![key.clone()],
                expires: None,
            });
        }
        let (expires, name) = rest::split(username)?;
        let keys: Vec<_> = self
            .secrets
            .iter()
            .map(|secret| {
                let password = rest::password(secret.expose(), username);
                LongTermKey::new(algorithm, username, &self.realm, &password)
            })
            .collect();
        (!keys.is_empty()).then_some(Candidates {
            name,
            keys,
            expires: Some(expires),
        })
    }
}

#[cfg(test)]
mod tests;
