//! Which pages a browser lets read the API's answers (the Fetch standard's CORS protocol), by a list.

use hyper::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CACHE_CONTROL, HeaderValue,
    ORIGIN, VARY,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use crate::config::PublicApi;
use crate::web::body::{Body, whole};

const HEADERS: HeaderValue = HeaderValue::from_static("authorization, content-type, x-api-key");

/// The answer to a browser that asks whether it may ask.
pub fn preflight(config: &PublicApi, parts: &Parts, method: &'static str) -> Response<Body> {
    let mut response = Response::new(whole(Default::default()));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let mut response = allow(config, parts, response);
    let headers = response.headers_mut();
    headers.insert(ALLOW, HeaderValue::from_static(method));
    if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
        headers.insert(
            ACCESS_CONTROL_ALLOW_METHODS,
            HeaderValue::from_static(method),
        );
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HEADERS);
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
    }
    response
}

/// Says so, if this page may read it.
pub fn allow(config: &PublicApi, parts: &Parts, mut response: Response<Body>) -> Response<Body> {
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(VARY, HeaderValue::from_static("origin"));
    let Some(page) = parts.headers.get(ORIGIN) else {
        return response;
    };
    let listed = |one: &String| one == "*" || one.as_bytes() == page.as_bytes();
    if config.allow_origins.iter().any(listed) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page.clone());
        let readable = HeaderValue::from_static("retry-after");
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, readable);
    }
    response
}
