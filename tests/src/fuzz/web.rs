//! Requests of strangers over HTTP, on their way to an origin.

use std::net::{IpAddr, Ipv4Addr};

use relay_userspace::fuzz::forwarded;

/// Of one connection, or of the relay alone.
const NEVER: [&str; 10] = [
    "connection",
    "transfer-encoding",
    "te",
    "trailer",
    "upgrade",
    "keep-alive",
    "proxy-connection",
    "proxy-authorization",
    "expect",
    "x-real-ip",
];

/// Lines: a target, then `name: value`. What goes on can be read in one way, and says of the client what the relay knows.
pub fn web_request(input: &[u8]) {
    let client = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));
    let mut lines = input.split(|byte| *byte == b'\n');
    let uri = lines.next().unwrap_or_default();
    let fields = lines.filter_map(|line| {
        let colon = line.iter().position(|byte| *byte == b':')?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    });
    let Some(forwarded) = forwarded(uri, fields, client) else {
        return;
    };
    let host = forwarded.host;
    assert!(!host.contains(['@', '/', '\\', '?', '#', ' ']), "{host}");
    assert_eq!(host, host.to_ascii_lowercase());
    let path = forwarded.path;
    assert!(path.starts_with('/'), "{path}");
    assert!(
        !path.split('/').any(|one| one == "." || one == ".."),
        "{path}"
    );
    let value = |name: &str| {
        let all = forwarded.fields.iter().filter(|field| field.0 == name);
        all.map(|field| field.1.as_slice()).collect::<Vec<_>>()
    };
    for name in NEVER {
        assert!(value(name).is_empty(), "{name}");
    }
    assert_eq!(value("x-forwarded-for"), [b"192.0.2.7"]);
    assert!(value("forwarded").concat().starts_with(b"for=192.0.2.7;"));
    assert_eq!(value("forwarded").len(), 1);
    assert!(value("content-length").len() <= 1 && value("cookie").len() <= 1);
    let underscored =
        |name: &str| name.contains('_') && name.replace('_', "-").starts_with("x-forwarded-");
    assert!(!forwarded.fields.iter().any(|field| underscored(&field.0)));
}
