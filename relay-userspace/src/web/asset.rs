//! Files that are part of the command, as a browser gets them: whole, or the word that it has them already.

use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::body::{Body, text_of};

/// A new relay's files are in use soon after.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// `kind`: its media type.
pub fn answer(parts: &Parts, kind: &'static str, text: &'static str) -> Response<Body> {
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        let mut refused = text_of(StatusCode::METHOD_NOT_ALLOWED, "text/plain", Bytes::new());
        let allowed = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return refused;
    }
    let tag = tag(text);
    let known = parts.headers.get(IF_NONE_MATCH);
    let (status, text) = match known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        true => (StatusCode::NOT_MODIFIED, Bytes::new()),
        false => (StatusCode::OK, Bytes::from_static(text.as_bytes())),
    };
    let mut response = text_of(status, kind, text);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, CACHED);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

fn tag(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let short = digest[..8].iter().map(|byte| format!("{byte:02x}"));
    format!("\"{}\"", short.collect::<String>())
}
