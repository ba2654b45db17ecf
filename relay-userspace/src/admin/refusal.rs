//! Why a request is not done, as a status code and one sentence.

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::api::Fault;
use crate::config::fault::Wrong;
use crate::events::TooMany;
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
    #[error("nothing is reloaded: {0}")]
    NotReloaded(String),
    #[error("no such route: see docs/cli.md")]
    NoRoute,
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::NotFound { .. } | Self::NoRoute => StatusCode::NOT_FOUND,
            Self::Wrong { .. } => StatusCode::BAD_REQUEST,
            Self::Body(rejection) => rejection.status(),
            Self::Path(rejection) => rejection.status(),
            Self::Query(rejection) => rejection.status(),
            Self::Events(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::NoSecret | Self::NotReloaded(_) | Self::Drain(_) => StatusCode::CONFLICT,
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
        let error = self.to_string();
        (self.status(), Json(Fault { error })).into_response()
    }
}
