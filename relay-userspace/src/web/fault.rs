//! Why a request is not answered by an origin: which side failed, as a status, a code for programs and a sentence.

use hyper::header::{HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde::Serialize;

use super::body::{Body, json};

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    #[error("nothing is served at this host and path")]
    NoRoute,
    #[error("this is served over TLS only: ask with https:// or wss://")]
    Plain,
    #[error("the host is not clear: {0}")]
    Host(&'static str),
    #[error("the path is not clear: {0}")]
    Path(&'static str),
    #[error("this method is not served")]
    Method,
    #[error("pages of this origin may not ask here")]
    ForeignPage,
    #[error("the body is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the body stopped coming")]
    ClientSlow,
    #[error("the request broke off")]
    ClientGone,
    #[error("the answer was not read")]
    Unread,
    #[error("as many requests as may be are under way here: try again")]
    Full,
    #[error("no origin is healthy: try again")]
    NoneHealthy,
    #[error("the origin cannot be reached")]
    Unreachable,
    #[error("the origin does not take the connection in time")]
    ConnectTimeout,
    #[error("the origin broke off before it answered")]
    Reset,
    #[error("the origin does not answer in time")]
    Timeout,
    #[error("the origin's answer makes no sense")]
    BadAnswer,
}

/// Who failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    Client,
    Relay,
    Origin,
}

/// The body of every answer that is no origin's.
#[derive(Debug, Serialize)]
pub struct Told {
    pub error: String,
    pub code: &'static str,
    pub side: Side,
}

impl Fault {
    /// One of each.
    pub const ALL: [Fault; 17] = [
        Fault::NoRoute,
        Fault::Plain,
        Fault::Host(""),
        Fault::Path(""),
        Fault::Method,
        Fault::ForeignPage,
        Fault::TooLarge(0),
        Fault::ClientSlow,
        Fault::ClientGone,
        Fault::Unread,
        Fault::Full,
        Fault::NoneHealthy,
        Fault::Unreachable,
        Fault::ConnectTimeout,
        Fault::Reset,
        Fault::Timeout,
        Fault::BadAnswer,
    ];

    fn told(self) -> (StatusCode, &'static str, Side) {
        use Side::{Client, Origin, Relay};
        match self {
            Self::NoRoute => (StatusCode::NOT_FOUND, "no_route", Relay),
            Self::Plain => (StatusCode::FORBIDDEN, "tls_required", Client),
            Self::Host(_) => (StatusCode::BAD_REQUEST, "bad_host", Client),
            Self::Path(_) => (StatusCode::BAD_REQUEST, "bad_path", Client),
            Self::Method => (StatusCode::METHOD_NOT_ALLOWED, "bad_method", Client),
            Self::ForeignPage => (StatusCode::FORBIDDEN, "origin_not_allowed", Client),
            Self::TooLarge(_) => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", Client),
            Self::ClientSlow => (StatusCode::REQUEST_TIMEOUT, "body_too_slow", Client),
            Self::ClientGone => (StatusCode::BAD_REQUEST, "client_gone", Client),
            Self::Unread => (StatusCode::REQUEST_TIMEOUT, "answer_unread", Client),
            Self::Full => (StatusCode::SERVICE_UNAVAILABLE, "route_full", Relay),
            Self::NoneHealthy => (StatusCode::SERVICE_UNAVAILABLE, "no_healthy_origin", Origin),
            Self::Unreachable => (StatusCode::BAD_GATEWAY, "origin_unreachable", Origin),
            Self::ConnectTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                "origin_connect_timeout",
                Origin,
            ),
            Self::Reset => (StatusCode::BAD_GATEWAY, "origin_reset", Origin),
            Self::Timeout => (StatusCode::GATEWAY_TIMEOUT, "origin_timeout", Origin),
            Self::BadAnswer => (StatusCode::BAD_GATEWAY, "origin_bad_answer", Origin),
        }
    }

    /// For programs.
    pub fn code(self) -> &'static str {
        self.told().1
    }

    pub fn status(self) -> StatusCode {
        self.told().0
    }

    pub fn response(self) -> Response<Body> {
        let (status, code, side) = self.told();
        let error = self.to_string();
        let mut response = json(status, &Told { error, code, side });
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}
