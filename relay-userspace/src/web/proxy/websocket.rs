//! WebSockets: a handshake of HTTP/1.1 (RFC 6455 §4) or h2 (RFC 8441) to an origin that speaks HTTP/1.1, then bytes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::ext::Protocol;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, HeaderMap, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT,
    SEC_WEBSOCKET_KEY, TRANSFER_ENCODING, UPGRADE,
};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Response, StatusCode, Version};
use sha1::{Digest, Sha1};

use super::{Exchange, tunnel};
use crate::web::body::Body;
use crate::web::fault::Fault;
use crate::web::hygiene;

const WEBSOCKET: &str = "websocket";
/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How the client asked.
#[derive(Debug)]
pub enum Handshake {
    /// With a key of its own, whose answer it judges itself.
    Http1,
    /// Without one: this is the relay's.
    H2 { key: String },
}

/// Nothing else is ever switched to.
pub fn wanted(parts: &Parts) -> Result<Option<Handshake>, Fault> {
    if parts.method == Method::CONNECT {
        let protocol = parts.extensions.get::<Protocol>();
        let websocket = protocol.is_some_and(|one| one.as_str() == WEBSOCKET);
        let mut key = [0; 16];
        let random = getrandom::fill(&mut key).is_ok();
        return match websocket && random {
            true => Ok(Some(Handshake::H2 {
                key: STANDARD.encode(key),
            })),
            false => Err(Fault::Method),
        };
    }
    let upgrade = has(&parts.headers, CONNECTION, "upgrade");
    let websocket = has(&parts.headers, UPGRADE, WEBSOCKET);
    let h1 = parts.version == Version::HTTP_11 && parts.method == Method::GET;
    let bodiless = !parts.headers.contains_key(CONTENT_LENGTH)
        && !parts.headers.contains_key(TRANSFER_ENCODING);
    Ok((upgrade && websocket && h1 && bodiless).then_some(Handshake::Http1))
}

fn has(headers: &HeaderMap, name: HeaderName, token: &str) -> bool {
    let values = headers.get_all(name).into_iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let mut tokens = texts.flat_map(|text| text.split(','));
    tokens.any(|one| one.trim().eq_ignore_ascii_case(token))
}

impl Handshake {
    /// Of the origin, in HTTP/1.1.
    pub fn ask(&self, parts: &mut Parts) {
        parts.method = Method::GET;
        switch(&mut parts.headers);
        if let Self::H2 { key } = self
            && let Ok(key) = HeaderValue::from_str(key)
        {
            parts.headers.insert(SEC_WEBSOCKET_KEY, key);
        }
    }

    pub fn is_answered<B>(&self, response: &Response<B>) -> bool {
        let headers = response.headers();
        let proven = match self {
            Self::Http1 => true,
            Self::H2 { key } => {
                let accept = headers.get(SEC_WEBSOCKET_ACCEPT);
                accept.is_some_and(|said| said.as_bytes() == accepted(key.as_bytes()).as_bytes())
            }
        };
        proven && has(headers, UPGRADE, WEBSOCKET)
    }

    /// The answer of somebody who has the client's key at hand, and no origin: `None` without a key.
    pub fn accept(&self, asked: &HeaderMap) -> Option<(StatusCode, HeaderMap)> {
        let mut headers = HeaderMap::new();
        let Self::Http1 = self else {
            return Some((StatusCode::OK, headers));
        };
        let proof = accepted(asked.get(SEC_WEBSOCKET_KEY)?.as_bytes());
        headers.insert(SEC_WEBSOCKET_ACCEPT, HeaderValue::from_str(&proof).ok()?);
        switch(&mut headers);
        Some((StatusCode::SWITCHING_PROTOCOLS, headers))
    }

    /// The origin's answer as the client expects it.
    fn answer(&self, status: &mut StatusCode, headers: &mut HeaderMap) {
        hygiene::strip(headers);
        headers.remove(CONTENT_LENGTH);
        match self {
            Self::Http1 => switch(headers),
            Self::H2 { .. } => {
                *status = StatusCode::OK;
                headers.remove(SEC_WEBSOCKET_ACCEPT);
            }
        }
    }
}

fn accepted(key: &[u8]) -> String {
    STANDARD.encode(Sha1::new().chain_update(key).chain_update(GUID).finalize())
}

fn switch(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

/// Answers the client, and moves bytes from then on.
pub fn open(
    exchange: Exchange<'_>,
    handshake: Handshake,
    client: OnUpgrade,
    mut response: Response<Incoming>,
) -> Response<Body> {
    let origin = hyper::upgrade::on(&mut response);
    let patience = exchange.route.config.idle_timeout;
    tokio::task::spawn_local(tunnel::run(client, origin, patience, exchange.record));
    let (mut parts, _) = response.into_parts();
    parts.extensions.clear();
    parts.version = Version::HTTP_11;
    handshake.answer(&mut parts.status, &mut parts.headers);
    let nothing = Empty::new().map_err(|never| match never {});
    Response::from_parts(parts, nothing.boxed_unsync())
}
