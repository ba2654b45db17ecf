//! `[auth.jwt]`: whose tokens the API believes, and with which keys.

use std::path::PathBuf;
use std::time::Duration;

use super::fault::{At, Faults, Wrong};
use super::file::{any, path_of};
use super::raw::Raw;
use super::reader::Section;
use super::value;
use crate::jwt::{Algorithm, Key};
use crate::secret::Secret;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// Claim `iss`.
    pub issuer: String,
    /// Claim `aud`, or one of it; default `relay`.
    pub audience: String,
    /// Default 30 s.
    pub clock_skew: Duration,
    pub keys: Vec<JwtKey>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtKey {
    pub kid: String,
    pub key: Key,
    /// Where it was read from.
    pub file: Option<PathBuf>,
}

const LONGEST_SKEW: Duration = Duration::from_secs(300);

pub fn read(auth: &mut Section<'_>, faults: &mut Faults) -> Option<At<Jwt>> {
    if !auth.has("jwt") {
        return None;
    }
    let mut jwt = auth.section("jwt", faults);
    let place = jwt.place().clone();
    let issuer = jwt.text("issuer", faults, any);
    let audience = jwt.text("audience", faults, any);
    let skew = jwt.text("clock_skew", faults, value::duration);
    let keys = jwt.sections("keys", faults).unwrap_or_default();
    let keys = keys
        .into_iter()
        .filter_map(|one| key(one, faults))
        .collect();
    jwt.needs(
        "issuer",
        "write issuer = \"…\", as in the claim iss",
        faults,
    );
    jwt.finish(faults);
    Some(place.of(Jwt {
        issuer: issuer?.value,
        audience: audience.map_or("relay".to_owned(), |at| at.value),
        clock_skew: skew.map_or(Duration::from_secs(30), |at| at.value),
        keys,
    }))
}

/// Its text is read later: until then it is one that proves nothing.
fn key(mut one: Section<'_>, faults: &mut Faults) -> Option<JwtKey> {
    let kid = one.text("kid", faults, any);
    let algorithm = one.text("algorithm", faults, |text| {
        let known = || Wrong::new(format!("{text:?} is not one"), "write EdDSA or HS256");
        Algorithm::of(text).ok_or_else(known)
    });
    let file = one.text("file", faults, path_of);
    one.needs("kid", "write kid = \"…\", as in the tokens' header", faults);
    one.needs(
        "algorithm",
        "write algorithm = \"EdDSA\" or \"HS256\"",
        faults,
    );
    one.needs("file", "write file = \"…\", the key", faults);
    one.finish(faults);
    let key = match algorithm?.value {
        Algorithm::EdDsa => Key::EdDsa([0; 32]),
        Algorithm::Hs256 => Key::Hs256(Secret::new(Vec::new())),
    };
    Some(JwtKey {
        kid: kid?.value,
        key,
        file: Some(file?.value),
    })
}

pub fn rules(raw: &Raw, faults: &mut Faults) {
    let Some(At { value: jwt, place }) = &raw.jwt else {
        return;
    };
    if jwt.keys.is_empty() {
        let wrong = Wrong::new(
            "there is no key",
            "write [[auth.jwt.keys]] and its keys below",
        );
        faults.add(place, wrong);
    }
    if jwt.clock_skew > LONGEST_SKEW {
        let wrong = Wrong::new("clock_skew is more than 5m", "set the clocks");
        faults.add(place, wrong);
    }
    for (index, one) in jwt.keys.iter().enumerate() {
        if jwt.keys[..index].iter().any(|first| first.kid == one.kid) {
            let problem = format!("kid {} is there twice", one.kid);
            faults.add(place, Wrong::new(problem, "remove one"));
        }
    }
}
