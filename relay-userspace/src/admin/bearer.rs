//! Requests with a token: held to what the token says, whoever opened the socket. Without one, the socket's mode is the proof.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;

use super::refusal::Refusal;
use super::routes::{Office, unix_now};
use crate::api::CredentialsRequest;
use crate::jwt::{Claims, Scope};

/// Hands the claims on as an extension.
pub async fn judge(
    State(office): State<Arc<Office>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    if let Some(given) = request.headers().get(AUTHORIZATION) {
        let token = given.to_str().ok().and_then(bearer);
        let token = token.ok_or(Refusal::NoBearer)?;
        let verifier = office.relay.verifier().ok_or(Refusal::NoIssuer)?;
        let claims = verifier.verify(token, unix_now())?;
        let scope = needed(request.method(), request.uri().path());
        if !claims.may(scope) {
            return Err(Refusal::OutOfScope(scope));
        }
        request.extensions_mut().insert(claims);
    }
    Ok(next.run(request).await)
}

/// RFC 6750 §2.1; the scheme in any case (RFC 9110 §11.1).
pub fn bearer(given: &str) -> Option<&str> {
    let (scheme, token) = given.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

fn needed(method: &Method, path: &str) -> Scope {
    match (method, path) {
        (&Method::GET, _) => Scope::Read,
        (&Method::POST, "/v1/credentials") => Scope::Ice,
        _ => Scope::Admin,
    }
}

/// A credential for the subject itself, no longer than the token lets it live.
pub fn may_mint(claims: &Claims, wish: &CredentialsRequest) -> Result<(), Refusal> {
    let own = wish.user == claims.subject || claims.may(Scope::Admin);
    let short = claims.max_ttl.is_none_or(|most| wish.ttl_seconds <= most);
    match (own, short) {
        (true, true) => Ok(()),
        (false, _) => Err(Refusal::NotSubject(claims.subject.clone())),
        (_, false) => Err(Refusal::TooLong(claims.max_ttl.unwrap_or_default())),
    }
}
