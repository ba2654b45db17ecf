//! `/check`: a page that tells its visitor which ways to this relay work, and the echo it measures with. Whoever has no token
//! gets no credential here: media is measured with what `/v1/ice` gives.

mod echo;

use hyper::header::{
    CONTENT_SECURITY_POLICY, HeaderValue, LOCATION, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};

use super::asset::Asset;
use super::body::{Body, text_of};
pub use echo::{Echo, PATH as ECHO};

const FOLDER: &str = "/check/";
const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
static FILES: [Asset; 6] = [
    Asset::new("", HTML, include_str!("../../check/index.html")),
    Asset::new(
        "page.css",
        "text/css; charset=utf-8",
        include_str!("../../check/page.css"),
    ),
    Asset::new("page.js", SCRIPT, include_str!("../../check/page.js")),
    Asset::new("media.js", SCRIPT, include_str!("../../check/media.js")),
    Asset::new("report.js", SCRIPT, include_str!("../../check/report.js")),
    Asset::new("web.js", SCRIPT, include_str!("../../check/web.js")),
];
/// It loads and asks nobody but the relay it is from.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// `None`: not a path of it.
pub fn answer(parts: &Parts) -> Option<Response<Body>> {
    let path = parts.uri.path();
    if path == FOLDER.trim_end_matches('/') {
        let mut moved = text_of(StatusCode::PERMANENT_REDIRECT, HTML, Default::default());
        let place = HeaderValue::from_static(FOLDER);
        moved.headers_mut().insert(LOCATION, place);
        return Some(moved);
    }
    let name = path.strip_prefix(FOLDER)?;
    let file = FILES.iter().find(|file| file.name == name)?;
    let mut response = file.answer(parts);
    let headers = response.headers_mut();
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    Some(response)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn asked(path: &str) -> Option<Response<Body>> {
        let request = Request::builder().uri(path).body(()).unwrap();
        answer(&request.into_parts().0)
    }

    #[test]
    fn every_file_of_the_page_is_served_with_its_policy_and_nothing_else() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/check");
        let files = std::fs::read_dir(folder).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let mut own = FILES.each_ref().map(|file| match file.name {
            "" => "index.html",
            name => name,
        });
        own.sort_unstable();
        assert_eq!(names, own);
        for file in &FILES {
            let name = file.name;
            let response = asked(&format!("/check/{name}")).unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{name}");
            assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
        }
        for path in ["/check/index.html", "/check/../Cargo.toml", "/checks", "/"] {
            assert!(asked(path).is_none(), "{path}");
        }
    }

    #[test]
    fn the_page_without_its_slash_is_the_page() {
        let moved = asked("/check").unwrap();
        assert_eq!(moved.status(), StatusCode::PERMANENT_REDIRECT);
        assert_eq!(moved.headers()[LOCATION], "/check/");
    }

    #[test]
    fn the_page_needs_no_script_or_style_of_its_own_text() {
        let html = include_str!("../../check/index.html");
        for barred in ["<style", " style=", " onclick=", "http://", "https://"] {
            assert!(!html.contains(barred), "{barred}");
        }
    }
}
