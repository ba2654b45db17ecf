//! Who may allocate: static users, and time-limited users of shared secrets (the "TURN REST" convention).
//! Knows keys, never packets, allocations or the clock.

mod rest;

use std::collections::HashMap;
use std::time::Duration;

use stun_types::message::{IntegrityAlgorithm, IntegrityKey, LongTermKeyCredentials};

use crate::config::Auth;
use crate::secret::Secret;

/// The long-term credentials (RFC 8489 §9.2) of one realm.
#[derive(Debug)]
pub struct Credentials {
    realm: String,
    secrets: Vec<Secret<String>>,
    users: HashMap<String, Secret<IntegrityKey>>,
    decoy: Secret<IntegrityKey>,
}

/// What a username could stand for.
#[derive(Debug)]
pub struct Candidates<'a> {
    /// Who it is for quotas and the operator: the username without its expiry.
    pub name: &'a str,
    /// Keys that would prove it; more than one while shared secrets are rotated.
    pub keys: Vec<IntegrityKey>,
    /// Unix seconds after which it may make no new allocation.
    pub expires: Option<u64>,
}

impl Credentials {
    pub fn new(auth: &Auth) -> Self {
        let users = auth
            .users
            .iter()
            .map(|user| {
                let key = long_term_key(&user.name, user.password.expose(), &auth.realm);
                (user.name.clone(), Secret::new(key))
            })
            .collect();
        Self {
            realm: auth.realm.clone(),
            secrets: auth.secrets.clone(),
            users,
            decoy: Secret::new(long_term_key("", "", &auth.realm)),
        }
    }

    pub fn realm(&self) -> &str {
        &self.realm
    }

    /// A key of nobody, to spend on an unknown user the time a known one takes.
    pub(crate) fn decoy(&self) -> &IntegrityKey {
        self.decoy.expose()
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
    pub fn candidates<'a>(&self, username: &'a str) -> Option<Candidates<'a>> {
        if let Some(key) = self.users.get(username) {
            return Some(Candidates {
                name: username,
                keys: vec![key.expose().clone()],
                expires: None,
            });
        }
        let (expires, name) = rest::split(username)?;
        let keys: Vec<_> = self
            .secrets
            .iter()
            .map(|secret| {
                let password = rest::password(secret.expose(), username);
                long_term_key(username, &password, &self.realm)
            })
            .collect();
        (!keys.is_empty()).then_some(Candidates {
            name,
            keys,
            expires: Some(expires),
        })
    }
}

/// `MD5(username ":" realm ":" password)`, RFC 8489 §9.2.2.
fn long_term_key(username: &str, password: &str, realm: &str) -> IntegrityKey {
    LongTermKeyCredentials::new(username.to_owned(), password.to_owned(), realm.to_owned())
        .make_key(IntegrityAlgorithm::Sha1)
}

#[cfg(test)]
mod tests;
