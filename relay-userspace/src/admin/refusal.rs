//! Why a request is not done, as a status code and one sentence.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::header::WWW_AUTHENTICATE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};

use crate::api::Fault;
use crate::config::fault::Wrong;
use crate::events::TooMany;
use crate::jwt::{Distrust, Scope};
use crate::relay::{ForwardError, NotCancelled};

#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    #[error("no {kind} {id}: `{list}` shows those that exist")]
    NotFound {
        kind: &'static str,
        id: String,
        list: &'static str,
    },
    #[error("{key}: {wrong}")]
    Wrong { key: &'static str, wrong: Wrong },
    #[error(transparent)]
    Body(#[from] JsonRejection),
    #[error("session ID: not a number: `relay session list` shows those that exist")]
    Path(#[from] PathRejection),
    #[error(transparent)]
    Forward(#[from] ForwardError),
    #[error(
        "this relay has static users only: add auth.secrets (or --secret) to make time-limited credentials"
    )]
    NoSecret,
    #[error(transparent)]
    Query(#[from] QueryRejection),
    #[error(transparent)]
    Events(#[from] TooMany),
    #[error(transparent)]
    Drain(#[from] NotCancelled),
    #[error("the relay has not drained since it started: `relay drain` begins it")]
    NeverDrained,
    #[error("nothing is reloaded: {0}")]
    NotReloaded(String),
    #[error("Authorization: write `Bearer` and a token")]
    NoBearer,
    #[error("the token cannot be judged: this relay has no [auth.jwt]")]
    NoIssuer,
    #[error("the token {0}")]
    Token(#[from] Distrust),
    #[error("the token has no scope for this: it needs {}, or admin", .0.name())]
    OutOfScope(Scope),
    #[error("user: the token is for {0} alone")]
    NotSubject(String),
    #[error("ttl_seconds: the token allows {0} at most")]
    TooLong(u64),
    #[error("no such route: see docs/cli.md")]
    NoRoute,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound { .. } | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::NoBearer | Self::NoIssuer | Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::OutOfScope(_) | Self::NotSubject(_) | Self::TooLong(_) => StatusCode::FORBIDDEN,
            Self::Wrong { .. } => StatusCode::BAD_REQUEST,
            Self::Body(rejection) => rejection.status(),
            Self::Path(rejection) => rejection.status(),
            Self::Query(rejection) => rejection.status(),
            Self::Events(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoSecret | Self::NotReloaded(_) | Self::Drain(_) | Self::NeverDrained => {
                StatusCode::CONFLICT
            }
            Self::Forward(error) => match error {
                ForwardError::NameTaken { .. } | ForwardError::Listen { .. } => {
                    StatusCode::CONFLICT
                }
                ForwardError::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
                _ => StatusCode::UNPROCESSABLE_ENTITY,
            },
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, error) = (self.status(), self.to_string());
        let mut response = (status, Json(Fault { error })).into_response();
        if status == StatusCode::UNAUTHORIZED {
            let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
