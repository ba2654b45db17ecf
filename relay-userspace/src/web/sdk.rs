//! `/sdk/`: the browser's module, from the relay itself, so that a page needs nobody else for it.

use hyper::Response;
use hyper::header::{ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue};
use hyper::http::request::Parts;

use super::asset::Asset;
use super::body::Body;

macro_rules! files {
    ($($name:literal),*) => {
        [$(Asset::new($name, kind($name), include_str!(concat!("../../sdk/src/", $name)))),*]
    };
}

const FOLDER: &str = "/sdk/";
static FILES: [Asset; 11] = files![
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

/// `None`: not a path of it.
pub fn answer(parts: &Parts) -> Option<Response<Body>> {
    let name = parts.uri.path().strip_prefix(FOLDER)?;
    let file = FILES.iter().find(|file| file.name == name)?;
    let mut response = file.answer(parts);
    // A module of another origin is only taken with leave; there is nothing secret in it.
    let anyone = HeaderValue::from_static("*");
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, anyone);
    Some(response)
}

const fn kind(name: &str) -> &'static str {
    match name.as_bytes() {
        [.., b'.', b'j', b's'] => "text/javascript; charset=utf-8",
        _ => "text/plain; charset=utf-8",
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::{ETAG, IF_NONE_MATCH};
    use hyper::{Request, StatusCode};

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
        assert_eq!(names, FILES.each_ref().map(|file| file.name));
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
