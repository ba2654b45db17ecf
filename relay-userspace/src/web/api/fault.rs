//! Why the API gives nothing, as a status, a code for programs and a sentence that says what to do.

use hyper::header::{ALLOW, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use hyper::{Response, StatusCode};

use crate::jwt::Distrust;
use crate::web::body::{Body, json};
use crate::web::fault::{Side, Told};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("send Authorization: Bearer with a token, or X-Api-Key with a key")]
    NoProof,
    #[error("the token {0}")]
    Token(Distrust),
    #[error("this relay knows no issuer of tokens (auth.jwt)")]
    NoIssuer,
    #[error("the key is not one of this relay's (api.keys)")]
    Key,
    #[error("the token has no scope for this: it needs ice")]
    Scope,
    #[error("user: the token is for {0} alone")]
    NotSubject(String),
    #[error("user: {0}")]
    User(String),
    #[error("mode: {0:?} is not one: write UDP_OVER_TCP, UDP_ONLY or TCP_ONLY")]
    Mode(String),
    #[error("mode: {0} cannot be served here: this relay does not listen for it")]
    Unserved(&'static str),
    #[error("ttl: {0} s is not allowed: ask for 1 to {1}")]
    Ttl(u64, u64),
    #[error("the body {0}")]
    Body(String),
    #[error("the body stopped coming")]
    Slow,
    #[error("this relay has no shared secret: add auth.secrets to make credentials")]
    NoSecret,
    #[error("the method is not served here: use {0}")]
    Method(&'static str),
    #[error("too many requests from this network: try again later")]
    TooMany,
    #[error("the relay is about to stop and gives no more credentials")]
    Draining,
}

impl Fault {
    fn told(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoProof => (StatusCode::UNAUTHORIZED, "credentials_missing"),
            Self::Token(_) => (StatusCode::UNAUTHORIZED, "token_invalid"),
            Self::NoIssuer => (StatusCode::UNAUTHORIZED, "no_issuer"),
            Self::Key => (StatusCode::UNAUTHORIZED, "key_invalid"),
            Self::Scope => (StatusCode::FORBIDDEN, "out_of_scope"),
            Self::NotSubject(_) => (StatusCode::FORBIDDEN, "not_subject"),
            Self::User(_) => (StatusCode::BAD_REQUEST, "bad_user"),
            Self::Mode(_) => (StatusCode::BAD_REQUEST, "unknown_mode"),
            Self::Unserved(_) => (StatusCode::CONFLICT, "mode_not_served"),
            Self::Ttl(..) => (StatusCode::BAD_REQUEST, "bad_ttl"),
            Self::Body(_) => (StatusCode::BAD_REQUEST, "bad_body"),
            Self::Slow => (StatusCode::REQUEST_TIMEOUT, "body_too_slow"),
            Self::NoSecret => (StatusCode::CONFLICT, "no_secret"),
            Self::Method(_) => (StatusCode::METHOD_NOT_ALLOWED, "bad_method"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too_many_requests"),
            Self::Draining => (StatusCode::SERVICE_UNAVAILABLE, "draining"),
        }
    }

    pub fn response(&self) -> Response<Body> {
        let (status, code) = self.told();
        let side = match self {
            Self::NoIssuer | Self::Unserved(_) | Self::NoSecret | Self::Draining => Side::Relay,
            _ => Side::Client,
        };
        let error = self.to_string();
        let mut response = json(status, &Told { error, code, side });
        let headers = response.headers_mut();
        match self {
            Self::TooMany | Self::Draining => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Self::Method(allowed) => {
                headers.insert(ALLOW, HeaderValue::from_static(allowed));
            }
            _ if status == StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            _ => {}
        }
        response
    }
}
