//! Bodies on their way through: bounded in bytes and in how long they may pause. Nothing is kept but what was just read.

mod download;
mod upload;

use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

pub use download::Download;
pub use upload::{Fate, Lent, Upload};

pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Of an answer.
pub type Body = UnsyncBoxBody<Bytes, BoxError>;

pub fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    // Only types of ours come here, and none of them can fail to be written.
    let text = serde_json::to_vec(value).unwrap_or_default();
    text_of(status, "application/json", text.into())
}

pub fn text_of(status: StatusCode, kind: &'static str, text: Bytes) -> Response<Body> {
    let mut response = Response::new(whole(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

pub fn whole(text: Bytes) -> Body {
    Full::new(text)
        .map_err(|never| match never {})
        .boxed_unsync()
}
