//! `/sdk/`: the browser's module, from the relay itself, so that a page needs nobody else for it.

use hyper::body::Bytes;
use hyper::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, ETAG, HeaderValue, IF_NONE_MATCH,
};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use sha2::{Digest, Sha256};

use super::body::{Body, text_of};

macro_rules! files {
    ($($name:literal),*) => {
        [$(($name, include_str!(concat!("../../sdk/src/", $name)))),*]
    };
}

const FOLDER: &str = "/sdk/";
const FILES: [(&str, &str); 11] = files![
    "address.js",
    "cloud-proxy.d.ts",
    "cloud-proxy.js",
    "credentials.js",
    "faults.js",
    "keeper.js",
    "look.js",
    "mode.js",
    "negotiate.js",
    "probe.js",
    "rank.js"
];
/// A new relay's module is in use soon after.
const CACHED: HeaderValue = HeaderValue::from_static("public, max-age=300");

/// `None`: not a path of it.
pub fn answer(parts: &Parts) -> Option<Response<Body>> {
    let name = parts.uri.path().strip_prefix(FOLDER)?;
    let (_, text) = FILES.iter().find(|(own, _)| *own == name)?;
    if !matches!(parts.method, Method::GET | Method::HEAD) {
        let mut refused = text_of(StatusCode::METHOD_NOT_ALLOWED, "text/plain", Bytes::new());
        let allowed = HeaderValue::from_static("GET, HEAD");
        refused.headers_mut().insert(ALLOW, allowed);
        return Some(refused);
    }
    let tag = tag(text);
    let known = parts.headers.get(IF_NONE_MATCH);
    let mut response = match known.is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        true => text_of(StatusCode::NOT_MODIFIED, kind(name), Bytes::new()),
        false => text_of(
            StatusCode::OK,
            kind(name),
            Bytes::from_static(text.as_bytes()),
        ),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, CACHED);
    // A module of another origin is only taken with leave; there is nothing secret in it.
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    Some(response)
}

fn kind(name: &str) -> &'static str {
    match name.ends_with(".js") {
        true => "text/javascript; charset=utf-8",
        false => "text/plain; charset=utf-8",
    }
}

fn tag(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let short = digest[..8].iter().map(|byte| format!("{byte:02x}"));
    format!("\"{}\"", short.collect::<String>())
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn asked(method: &str, path: &str, known: Option<&str>) -> Option<Response<Body>> {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(known) = known {
            request = request.header(IF_NONE_MATCH, known);
        }
        answer(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn every_file_of_the_module_is_served_and_nothing_else() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/sdk/src");
        let files = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, FILES.map(|(name, _)| name));
        for name in names {
            let response = asked("GET", &format!("/sdk/{name}"), None).unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{name}");
        }
        for path in ["/sdk/", "/sdk/package.json", "/sdk/../Cargo.toml", "/"] {
            assert!(asked("GET", path, None).is_none(), "{path}");
        }
    }

    #[test]
    fn a_browser_that_has_it_is_not_sent_it_again() {
        let first = asked("GET", "/sdk/mode.js", None).unwrap();
        let tag = first.headers()[ETAG].to_str().unwrap();
        let again = asked("GET", "/sdk/mode.js", Some(tag)).unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        let changed = asked("GET", "/sdk/mode.js", Some("\"other\"")).unwrap();
        assert_eq!(changed.status(), StatusCode::OK);
        let post = asked("POST", "/sdk/mode.js", None).unwrap();
        assert_eq!(post.status(), StatusCode::METHOD_NOT_ALLOWED);
    }
}
