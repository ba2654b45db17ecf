//! Files that are part of the command, as a browser gets them: whole, or the word that it has them already.

use std::sync::OnceLock;

use hyper::body::Bytes;
use hyper::header::{ALLOW, CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::body::{Body, text_of};

/// A new relay's files are in use soon after.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");
/// Hexadecimal digits in quotes are a field's value: this one is never used.
const UNTAGGED: HeaderValue = HeaderValue::from_static("\"\"");

#[derive(Debug)]
pub struct Asset {
    pub name: &'static str,
    /// Its media type.
    kind: &'static str,
    text: &'static str,
    /// Of the text, once: whoever asks a thousand times a second does not have it hashed as often.
    tag: OnceLock<HeaderValue>,
}

impl Asset {
    pub const fn new(name: &'static str, kind: &'static str, text: &'static str) -> Asset {
        let tag = OnceLock::new();
        Asset {
            name,
            kind,
            text,
            tag,
        }
    }

    pub fn answer(&self, parts: &Parts) -> Response<Body> {
        if !matches!(parts.method, Method::GET | Method::HEAD) {
            let mut refused = text_of(StatusCode::METHOD_NOT_ALLOWED, "text/plain", Bytes::new());
            let allowed = HeaderValue::from_static("GET, HEAD");
            refused.headers_mut().insert(ALLOW, allowed);
            return refused;
        }
        let tag = self.tag.get_or_init(|| tag(self.text));
        let (status, text) = match parts.headers.get(IF_NONE_MATCH) == Some(tag) {
            true => (StatusCode::NOT_MODIFIED, Bytes::new()),
            false => (StatusCode::OK, Bytes::from_static(self.text.as_bytes())),
        };
        let mut response = text_of(status, self.kind, text);
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, CACHED);
        headers.insert(ETAG, tag.clone());
        response
    }
}

fn tag(text: &str) -> HeaderValue {
    let digest = Sha256::digest(text.as_bytes());
    let short = digest[..8].iter().map(|byte| format!("{byte:02x}"));
    let quoted = format!("\"{}\"", short.collect::<String>());
    HeaderValue::try_from(quoted).unwrap_or(UNTAGGED)
}
