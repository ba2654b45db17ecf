//! Who asks for ICE servers: a user with a token of an issuer, or a server with a key, for its users.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use subtle::ConstantTimeEq;

use super::Authority;
use super::fault::Fault;
use crate::admin::bearer::bearer;
use crate::admin::unix_now;
use crate::config::PublicApi;
use crate::jwt::{Claims, Scope};

/// What was proven.
#[derive(Debug, PartialEq, Eq)]
pub enum Asker {
    User(Claims),
    /// One that may ask for anybody.
    Server,
}

pub fn asker(
    config: &PublicApi,
    authority: &Authority,
    headers: &HeaderMap,
) -> Result<Asker, Fault> {
    if let Some(key) = headers.get("x-api-key") {
        // All are looked at, each in a time that tells nothing.
        let same = |own: &[u8]| bool::from(own.ct_eq(key.as_bytes()));
        let keys = config.keys.iter().map(|one| one.key.expose().as_bytes());
        let known = keys.fold(false, |known, own| known | same(own));
        return known.then_some(Asker::Server).ok_or(Fault::Key);
    }
    let given = headers.get(AUTHORIZATION).ok_or(Fault::NoProof)?;
    let token = given.to_str().ok().and_then(bearer);
    let token = token.ok_or(Fault::NoProof)?;
    let verifier = authority.verifier.as_ref().ok_or(Fault::NoIssuer)?;
    let claims = verifier.verify(token, unix_now()).map_err(Fault::Token)?;
    match claims.may(Scope::Ice) {
        true => Ok(Asker::User(claims)),
        false => Err(Fault::Scope),
    }
}
