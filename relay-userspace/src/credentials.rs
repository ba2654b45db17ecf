//! Who may allocate: static users, and time-limited users of shared secrets (the "TURN REST" convention).
//! Knows keys, never packets, allocations or the clock.

mod key;
mod rest;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use stun_types::attribute::Userhash;

use crate::config::{Auth, UNNAMED, User};
use crate::hook::Record;
use crate::secret::Secret;

pub use key::{Algorithm, Integrity, LongTermKey};

/// The long-term credentials (RFC 8489 §9.2) of one realm.
#[derive(Debug)]
pub struct Credentials {
    realm: String,
    /// In the order of the configuration; the first one mints.
    secrets: Vec<Shared>,
    users: HashMap<String, Keys>,
    /// Static users by USERHASH.
    hashes: HashMap<[u8; 32], String>,
    decoy: LongTermKey,
}

#[derive(Debug)]
struct Shared {
    group: Arc<str>,
    print: u64,
    secret: Secret<String>,
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
    /// What would prove it; more than one while shared secrets are rotated.
    pub proofs: Vec<Proof>,
    /// Unix seconds after which it may make no new allocation.
    pub expires: Option<u64>,
}

/// A key, and who vouches for whoever has it.
#[derive(Debug, Clone)]
pub struct Proof {
    pub key: LongTermKey,
    pub grantor: Grantor,
}

/// Who vouches for a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Grantor {
    /// `auth.users`.
    Configuration,
    /// A shared secret of this group; `print` tells it from the others.
    Secret { group: Arc<str>, print: u64 },
    /// `auth.hook`.
    Hook,
}

impl Grantor {
    /// Of shared secrets.
    pub fn group(&self) -> Option<&Arc<str>> {
        match self {
            Self::Configuration | Self::Hook => None,
            Self::Secret { group, .. } => Some(group),
        }
    }
}

impl Credentials {
    pub fn new(auth: &Auth) -> Self {
        let key = |algorithm, user: &User| {
            let key = LongTermKey::new(algorithm, &user.name, &auth.realm, user.password.expose());
            // For all its copies.
            key.print();
            key
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
            secrets: shared(auth),
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
        let secret = &self.secrets.first()?.secret;
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
                proofs: vec![Proof {
                    key: key.clone(),
                    grantor: Grantor::Configuration,
                }],
                expires: None,
            });
        }
        let (expires, name) = rest::split(username)?;
        let proof = |shared: &Shared| {
            let password = rest::password(shared.secret.expose(), username);
            Proof {
                key: LongTermKey::new(algorithm, username, &self.realm, &password),
                grantor: Grantor::Secret {
                    group: Arc::clone(&shared.group),
                    print: shared.print,
                },
            }
        };
        let proofs: Vec<_> = self.secrets.iter().map(proof).collect();
        (!proofs.is_empty()).then_some(Candidates {
            name,
            proofs,
            expires: Some(expires),
        })
    }

    pub fn static_users(&self) -> impl Iterator<Item = &str> {
        self.users.keys().map(String::as_str)
    }

    pub fn is_static(&self, username: &str) -> bool {
        self.users.contains_key(username)
    }

    /// Who `username` is: without its expiry, if it has one.
    pub fn name_of<'a>(&self, username: &'a str) -> &'a str {
        match self.has_secret() && !self.is_static(username) {
            true => rest::split(username).map_or(username, |(_, name)| name),
            false => username,
        }
    }

    /// What may prove `username`, whom `record` is about: a shared secret if it is the name of one, else the password
    /// somebody else knows.
    pub fn vouched<'a>(
        &self,
        username: &'a str,
        algorithm: Algorithm,
        record: &Record,
    ) -> Option<Candidates<'a>> {
        if self.has_secret() && rest::split(username).is_some() {
            let mut candidates = self.candidates(username, algorithm)?;
            candidates.expires = candidates.expires.into_iter().chain(record.expires).min();
            return Some(candidates);
        }
        let key = record.key(algorithm)?.clone();
        Some(Candidates {
            name: username,
            proofs: vec![Proof {
                key,
                grantor: Grantor::Hook,
            }],
            expires: record.expires,
        })
    }

    /// Whether `key` of `username` would still prove it: its password, or the secret that vouched for it, is there.
    /// What somebody else vouched for is not known here.
    pub fn still_grants(&self, grantor: &Grantor, username: &str, key: &LongTermKey) -> bool {
        match grantor {
            Grantor::Configuration => {
                let own = self.users.get(username);
                own.is_some_and(|own| own.md5 == *key || own.sha256 == *key)
            }
            Grantor::Hook => false,
            Grantor::Secret { print, .. } => {
                self.secrets.iter().any(|shared| shared.print == *print)
            }
        }
    }
}

fn shared(auth: &Auth) -> Vec<Shared> {
    let one = |group: &Arc<str>, secret: &Secret<String>| Shared {
        group: Arc::clone(group),
        print: rest::print(secret.expose()),
        secret: secret.clone(),
    };
    let unnamed: Arc<str> = UNNAMED.into();
    let mut all: Vec<_> = auth.secrets.iter().map(|s| one(&unnamed, s)).collect();
    for named in &auth.shared {
        let group = named.id.as_str().into();
        all.extend(named.secrets.iter().map(|s| one(&group, s)));
    }
    all
}

#[cfg(test)]
mod tests;
