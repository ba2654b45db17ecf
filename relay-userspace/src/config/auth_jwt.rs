//! `[auth.jwt]`: whose tokens the API believes, and with which keys.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use super::fault::{At, Faults, Wrong};
use super::file::{any, path_of};
use super::load;
use super::reader::Section;
use super::value::{self, Read};
use crate::jwt::{Algorithm, Key};

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
    pub file: PathBuf,
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
    let skew = jwt.text("clock_skew", faults, skew);
    let keys = keys(&mut jwt, faults);
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

fn skew(text: &str) -> Read<Duration> {
    let skew = value::duration(text)?;
    match skew > LONGEST_SKEW {
        true => value::wrong(format!("{text} is more than 5m"), "set the clocks"),
        false => Ok(skew),
    }
}

fn keys(jwt: &mut Section<'_>, faults: &mut Faults) -> Vec<JwtKey> {
    let sections = jwt.sections("keys", faults).unwrap_or_default();
    if sections.is_empty() {
        let remedy = "write [[auth.jwt.keys]] and its keys below";
        faults.add(jwt.place(), Wrong::new("there is no key", remedy));
    }
    let mut kids = HashSet::new();
    let mut keys = Vec::new();
    for mut one in sections {
        let kid = one.text("kid", faults, any);
        if let Some(At { value: kid, place }) = &kid
            && !kids.insert(kid.clone())
        {
            let problem = format!("{kid} is there twice");
            faults.add(place, Wrong::new(problem, "remove one"));
        }
        keys.extend(key(one, kid, faults));
    }
    keys
}

fn key(mut one: Section<'_>, kid: Option<At<String>>, faults: &mut Faults) -> Option<JwtKey> {
    let algorithm = one.text("algorithm", faults, |text| {
        let known = || Wrong::new(format!("{text:?} is not one"), "write EdDSA or HS256");
        Algorithm::of(text).ok_or_else(known)
    });
    one.needs("kid", "write kid = \"…\", as in the tokens' header", faults);
    one.needs(
        "algorithm",
        "write algorithm = \"EdDSA\" or \"HS256\"",
        faults,
    );
    one.needs("file", "write file = \"…\", the key", faults);
    // What a file should hold is not known without it.
    let file = one.text("file", faults, |text| match &algorithm {
        Some(algorithm) => key_file(algorithm.value, text).map(Some),
        None => path_of(text).map(|_| None),
    });
    one.finish(faults);
    let (file, key) = file?.value?;
    Some(JwtKey {
        kid: kid?.value,
        key,
        file,
    })
}

fn key_file(algorithm: Algorithm, text: &str) -> Read<(PathBuf, Key)> {
    let path = path_of(text)?;
    match Key::read(algorithm, &load::text_of(&path)?) {
        Ok(key) => Ok((path, key)),
        Err(fault) => value::wrong(
            format!("{text} {fault}"),
            "EdDSA: a PEM public key; HS256: `openssl rand -hex 32`",
        ),
    }
}
