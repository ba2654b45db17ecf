//! Which host and path a request is for, in one reading only: whatever two programs could read in two ways is refused.
//! Pure.

use hyper::header::HOST;
use hyper::http::request::Parts;
use hyper::http::uri::Authority;
use hyper::{Method, Version};

use super::fault::Fault;

/// Where a request is meant to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// As the client wrote it, port included.
    pub authority: Authority,
    /// Lower case, without port and final dot.
    pub host: String,
    /// The path as the most lenient origin would read it, if that is something else.
    pub lenient: Option<String>,
}

pub fn read(parts: &Parts) -> Result<Target, Fault> {
    // Of an h2 stream CONNECT may be the way to a WebSocket (RFC 8441): then it has a path.
    let is_tunnel = parts.method == Method::CONNECT && parts.uri.path_and_query().is_none();
    if is_tunnel || parts.method == Method::TRACE {
        return Err(Fault::Method);
    }
    let authority = authority(parts)?;
    let lenient = path(parts.uri.path())?;
    let host = authority.host().trim_end_matches('.');
    let host = host.trim_start_matches('[').trim_end_matches(']');
    Ok(Target {
        host: host.to_ascii_lowercase(),
        authority,
        lenient,
    })
}

/// A URI with an authority and the field `Host` have to agree (RFC 9112 §3.2.2 lets the URI win, and not every origin does).
fn authority(parts: &Parts) -> Result<Authority, Fault> {
    let mut fields = parts.headers.get_all(HOST).iter();
    let field = fields.next();
    if fields.next().is_some() {
        return Err(Fault::Host("there is more than one Host"));
    }
    let field = match field {
        Some(field) => {
            let text = field.to_str().ok().filter(|text| !text.is_empty());
            let parsed = text.and_then(|text| text.parse::<Authority>().ok());
            Some(parsed.ok_or(Fault::Host("Host is not a host"))?)
        }
        None if parts.version == Version::HTTP_2 => None,
        None => return Err(Fault::Host("there is no Host")),
    };
    let authority = match (parts.uri.authority(), field) {
        (Some(uri), Some(field)) if !same(uri, &field) => {
            return Err(Fault::Host("Host and the request's target differ"));
        }
        (Some(uri), _) => uri.clone(),
        (None, Some(field)) => field,
        (None, None) => return Err(Fault::Host("there is no Host")),
    };
    match authority.host().is_empty() || authority.as_str().contains('@') {
        true => Err(Fault::Host("Host is not a host")),
        false => Ok(authority),
    }
}

fn same(one: &Authority, other: &Authority) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

/// No segment that steps out of a prefix, however it is written, and nothing an origin could take for the end of a name.
fn path(path: &str) -> Result<Option<String>, Fault> {
    if !path.starts_with('/') {
        return Err(Fault::Path("it begins with no /"));
    }
    let decoded = decode(path.as_bytes());
    let decoded = decoded.ok_or(Fault::Path("an escape is not two hexadecimal digits"))?;
    if decoded.iter().any(|byte| *byte < 0x20 || *byte == 0x7F) {
        return Err(Fault::Path("it has a control character"));
    }
    // Some servers decode twice.
    let again = decode(&decoded);
    match steps(&decoded) || again.is_some_and(|again| steps(&again)) {
        true => Err(Fault::Path("it has a segment . or ..")),
        false => Ok(lenient(path, &decoded)),
    }
}

/// Also where a server ends a segment at `;` and takes what is before it, or reads a dot and a slash from two bytes where
/// UTF-8 has one (RFC 3629 §10).
fn steps(decoded: &[u8]) -> bool {
    let mut short = Vec::with_capacity(decoded.len());
    for byte in decoded {
        let long = short.last().copied();
        match (long, *byte) {
            (Some(high @ (0xC0 | 0xC1)), low @ 0x80..=0xBF) => {
                short.pop();
                short.push(high << 6 | low & 0x3F);
            }
            (_, byte) => short.push(byte),
        }
    }
    let mut segments = short.split(|byte| b"/\\".contains(byte));
    segments.any(|segment| {
        let name = segment.split(|byte| *byte == b';').next();
        matches!(name, Some(b"." | b".."))
    })
}

/// Without escapes, parameters and empty segments.
fn lenient(path: &str, decoded: &[u8]) -> Option<String> {
    if !path.contains(['%', ';', '\\']) && !path.contains("//") {
        return None;
    }
    let decoded = String::from_utf8_lossy(decoded);
    let segments = decoded.split(['/', '\\']);
    let names = segments.map(|segment| segment.split(';').next().unwrap_or_default());
    let names: Vec<_> = names.filter(|name| !name.is_empty()).collect();
    Some(format!("/{}", names.join("/")))
}

fn decode(path: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = path.iter().copied();
    let mut decoded = Vec::with_capacity(path.len());
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let (high, low) = (digit(bytes.next())?, digit(bytes.next())?);
                (high << 4 | low) as u8
            }
            plain => plain,
        });
    }
    Some(decoded)
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn target(uri: &str, hosts: &[&str], version: Version) -> Result<String, String> {
        let mut request = Request::builder().uri(uri).version(version);
        for host in hosts {
            request = request.header(HOST, *host);
        }
        let parts = request.body(()).unwrap().into_parts().0;
        match read(&parts) {
            Ok(target) => Ok(target.host),
            Err(fault) => Err(fault.to_string()),
        }
    }

    #[test]
    fn a_host_is_read_from_one_place_and_means_one_thing() {
        let one = |uri, hosts: &[&str]| target(uri, hosts, Version::HTTP_11);
        assert_eq!(one("/", &["Meet.Example:443"]).unwrap(), "meet.example");
        assert_eq!(one("/", &["meet.example."]).unwrap(), "meet.example");
        assert_eq!(one("/", &["[2001:db8::1]:443"]).unwrap(), "2001:db8::1");
        assert_eq!(
            one("http://a.example/", &["A.example"]).unwrap(),
            "a.example"
        );
        let h2 = target("https://a.example/", &[], Version::HTTP_2);
        assert_eq!(h2.unwrap(), "a.example");
        for (uri, hosts) in [
            ("/", &[][..]),
            ("/", &[""]),
            ("/", &["a.example", "a.example"]),
            ("/", &["a.example, b.example"]),
            ("/", &["user@a.example"]),
            ("/", &["a.example/path"]),
            ("http://b.example/", &["a.example"]),
            ("http://a.example:80/", &["a.example"]),
            ("http://user@a.example/", &["user@a.example"]),
        ] {
            assert!(one(uri, hosts).is_err(), "{uri} {hosts:?}");
        }
    }

    #[test]
    fn no_spelling_of_a_step_up_passes() {
        let one = |path: &str| target(path, &["a.example"], Version::HTTP_11);
        for good in [
            "/",
            "/a/b.c/..d",
            "/a%20b",
            "/caf%C3%A9/%2Fx",
            "/a..",
            "/..a?x=../..",
            "/100%25",
            "/a%252e/%C0/%C1b",
        ] {
            assert!(one(good).is_ok(), "{good}");
        }
        for bad in [
            "/..",
            "/a/../b",
            "/a/./b",
            "/a/%2e%2e/b",
            "/a/%2E./b",
            "/a/..%2fb",
            "/a%2f..%2fb",
            "/a/..%5Cb",
            "/a/..;x=1/b",
            "/a/%252e%252e/b",
            "/a/..%252fb",
            "/a/..%c0%afb",
            "/a/%C0%AE./b",
            "/a/..%c1%9cb",
            "/a/%00",
            "/a/%0d%0a",
            "/a/%zz",
            "/a/%2",
        ] {
            assert!(one(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_path_that_origins_may_read_in_two_ways_has_both_readings() {
        let read = |path: &str| super::path(path).unwrap();
        assert_eq!(read("/a/b"), None);
        for path in ["/a/%62", "//a//b/", "/a;x=1/b", "/%61%2Fb", "/a%5Cb"] {
            assert_eq!(read(path).as_deref(), Some("/a/b"), "{path}");
        }
    }

    #[test]
    fn methods_that_ask_for_a_tunnel_or_an_echo_are_refused() {
        for (method, uri) in [(Method::CONNECT, "a.example:443"), (Method::TRACE, "/")] {
            let request = Request::builder().method(method).uri(uri);
            let request = request.header(HOST, "a.example:443").body(()).unwrap();
            let refused = read(&request.into_parts().0);
            assert_eq!(refused, Err(Fault::Method));
        }
    }
}
