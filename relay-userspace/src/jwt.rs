//! Bearer tokens (JWT, RFC 7519) of the API: EdDSA and HS256, nothing else. Verifies; makes none.
//!
//! Written over `ring` and `hmac`, which are here for TLS and TURN: two algorithms need no library of ten, and a key that
//! knows its algorithm cannot be talked into another one by a token's header.

mod key;

use serde::Deserialize;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub use key::{Algorithm, Key, KeyFault};

use crate::config;

/// Longer ones are not read.
const LONGEST: usize = 8 << 10;

/// Why a token is not believed. Says nothing that helps to make a better one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    #[error("is not a JWT")]
    Malformed,
    #[error("is signed with a key this relay does not know (header kid)")]
    UnknownKey,
    #[error("has a signature, or an algorithm, that does not fit its key")]
    BadSignature,
    #[error("has an extension this relay does not understand (header crit)")]
    Critical,
    #[error(
        "lacks a claim or has one of a wrong kind: iss, sub and scope are texts, aud one or a list, exp, nbf and max_ttl numbers"
    )]
    Incomplete,
    #[error("is of another issuer (iss)")]
    WrongIssuer,
    #[error("is for another audience (aud)")]
    WrongAudience,
    #[error("has expired (exp)")]
    Expired,
    #[error("does not hold yet (nbf)")]
    TooEarly,
}

/// What a token lets its bearer do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scope {
    /// See everything.
    Read,
    /// Make time-limited TURN credentials for the token's own subject.
    Ice,
    /// Everything.
    Admin,
}

impl Scope {
    /// As in the claim `scope`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Ice => "ice",
            Self::Admin => "admin",
        }
    }
}

/// What was proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// Who it is: the TURN user credentials are made for.
    pub subject: String,
    pub scopes: Vec<Scope>,
    /// The longest life of a credential made with it, seconds.
    pub max_ttl: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Verifier {
    config: config::Jwt,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Body {
    iss: String,
    aud: Audience,
    exp: f64,
    nbf: Option<f64>,
    sub: String,
    #[serde(default)]
    scope: String,
    max_ttl: Option<u64>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

impl Claims {
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

impl Verifier {
    pub fn new(config: &config::Jwt) -> Self {
        Self {
            config: config.clone(),
        }
    }

    /// `now`: Unix seconds.
    pub fn verify(&self, token: &str, now: u64) -> Result<Claims, Distrust> {
        if token.len() > LONGEST {
            return Err(Distrust::Malformed);
        }
        let (signed, signature) = token.rsplit_once('.').ok_or(Distrust::Malformed)?;
        let (header, body) = signed.split_once('.').ok_or(Distrust::Malformed)?;
        let header: Header = json(header)?;
        if header.crit.is_some() {
            return Err(Distrust::Critical);
        }
        let key = self.key(header.kid.as_deref())?;
        let signature = bytes(signature)?;
        if header.alg != key.algorithm().name() || !key.proves(signed.as_bytes(), &signature) {
            return Err(Distrust::BadSignature);
        }
        let body = json(body).map_err(|_| Distrust::Incomplete)?;
        self.claims(body, now as f64)
    }

    /// A token without `kid` is of the only key there is.
    fn key(&self, kid: Option<&str>) -> Result<&Key, Distrust> {
        let keys = &self.config.keys;
        let found = match kid {
            Some(kid) => keys.iter().find(|key| key.kid == kid),
            None => keys.first().filter(|_| keys.len() == 1),
        };
        found.map(|named| &named.key).ok_or(Distrust::UnknownKey)
    }

    fn claims(&self, body: Body, now: f64) -> Result<Claims, Distrust> {
        let skew = self.config.clock_skew.as_secs_f64();
        if body.iss != self.config.issuer {
            return Err(Distrust::WrongIssuer);
        }
        let audience = &self.config.audience;
        let meant = match &body.aud {
            Audience::One(one) => one == audience,
            Audience::Many(all) => all.contains(audience),
        };
        if !meant {
            return Err(Distrust::WrongAudience);
        }
        if body.exp + skew <= now {
            return Err(Distrust::Expired);
        }
        if body.nbf.is_some_and(|nbf| nbf - skew > now) {
            return Err(Distrust::TooEarly);
        }
        let known = [Scope::Read, Scope::Ice, Scope::Admin];
        let named = |word: &str| known.into_iter().find(|scope| scope.name() == word);
        let scopes = body.scope.split(' ').filter_map(named);
        Ok(Claims {
            subject: body.sub,
            scopes: scopes.collect(),
            max_ttl: body.max_ttl,
        })
    }
}

fn bytes(part: &str) -> Result<Vec<u8>, Distrust> {
    URL_SAFE_NO_PAD
        .decode(part)
        .map_err(|_| Distrust::Malformed)
}

fn json<T: serde::de::DeserializeOwned>(part: &str) -> Result<T, Distrust> {
    serde_json::from_slice(&bytes(part)?).map_err(|_| Distrust::Malformed)
}

#[cfg(test)]
mod tests;
