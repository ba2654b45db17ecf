//! Headers between two connections: what is of one of them stays there, and what an origin is told of the client is true.
//! Pure.

use std::net::IpAddr;

use hyper::HeaderMap;
use hyper::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, FORWARDED, HeaderName, HeaderValue,
    PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// RFC 9110 §7.6.1, and what is used as if it stood there.
const OF_ONE_CONNECTION: [HeaderName; 10] = [
    CONNECTION,
    PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Whom a request is from, as the relay knows it.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    pub address: IpAddr,
    pub secure: bool,
    /// As it was asked for.
    pub authority: &'a str,
    /// A balancer's: what it says of those before it is kept.
    pub trusted: bool,
}

/// Takes out what is of one connection, with what `Connection` names.
pub fn strip(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named: Vec<HeaderName> = headers
            .get_all(CONNECTION)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(|name| name.trim().parse().ok())
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    for name in OF_ONE_CONNECTION {
        headers.remove(name);
    }
}

/// A request's headers as an origin may see them.
pub fn for_origin(headers: &mut HeaderMap, client: Client<'_>) {
    strip(headers);
    // Whoever reads the body has asked for it by then.
    headers.remove(EXPECT);
    if !client.trusted {
        forget_who_it_was(headers);
    }
    one_cookie(headers);
    let proto = if client.secure { "https" } else { "http" };
    append(headers, X_FORWARDED_FOR, &client.address.to_string());
    keep_first(headers, X_FORWARDED_PROTO, proto);
    keep_first(headers, X_FORWARDED_HOST, client.authority);
    let node = match client.address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("\"[{address}]\""),
    };
    let element = format!("for={node};host=\"{}\";proto={proto}", client.authority);
    append(headers, FORWARDED, &element);
}

/// A length that was said is said once more, as the body has it: h2 lets a client say it twice, or without a digit.
pub fn one_length(headers: &mut HeaderMap, length: Option<u64>) {
    if headers.remove(CONTENT_LENGTH).is_some()
        && let Some(length) = length
    {
        headers.insert(CONTENT_LENGTH, length.into());
    }
}

/// Also as `X_Forwarded_For`, which some origins take for the same.
fn forget_who_it_was(headers: &mut HeaderMap) {
    let told = |name: &HeaderName| {
        let name = name.as_str().replace('_', "-");
        name.starts_with("x-forwarded-") || name == "forwarded" || name == "x-real-ip"
    };
    let names: Vec<_> = headers.keys().filter(|name| told(name)).cloned().collect();
    for name in names {
        headers.remove(name);
    }
}

/// h2 may send it in pieces (RFC 9113 §8.2.3), HTTP/1.1 may not.
fn one_cookie(headers: &mut HeaderMap) {
    let mut pieces = headers.get_all(COOKIE).iter();
    let (Some(first), Some(_)) = (pieces.next(), pieces.next()) else {
        return;
    };
    let mut whole = first.as_bytes().to_vec();
    for piece in headers.get_all(COOKIE).iter().skip(1) {
        whole.extend_from_slice(b"; ");
        whole.extend_from_slice(piece.as_bytes());
    }
    if let Ok(whole) = HeaderValue::from_bytes(&whole) {
        headers.insert(COOKIE, whole);
    }
}

/// What stood before comes first, in one field.
fn append(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    let before = headers.get_all(&name).iter();
    let before: Vec<_> = before.filter_map(|value| value.to_str().ok()).collect();
    let all = match before.is_empty() {
        true => HeaderValue::try_from(text),
        false => HeaderValue::try_from(format!("{}, {text}", before.join(", "))),
    };
    if let Ok(all) = all {
        headers.insert(name, all);
    }
}

fn keep_first(headers: &mut HeaderMap, name: HeaderName, text: &str) {
    if !headers.contains_key(&name)
        && let Ok(value) = HeaderValue::try_from(text)
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(all: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in all {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    fn texts(headers: &HeaderMap) -> Vec<String> {
        let pair = |(name, value): (&HeaderName, &HeaderValue)| {
            format!("{name}: {}", value.to_str().unwrap())
        };
        let mut all: Vec<_> = headers.iter().map(pair).collect();
        all.sort();
        all
    }

    const CLIENT: Client<'_> = Client {
        address: IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
        secure: true,
        authority: "meet.example",
        trusted: false,
    };

    #[test]
    fn what_is_of_one_connection_stays_there() {
        let mut all = headers(&[
            ("connection", "close, X-Own"),
            ("connection", "keep-alive"),
            ("x-own", "1"),
            ("keep-alive", "timeout=5"),
            ("proxy-authorization", "Basic eA=="),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("http2-settings", "AA"),
            ("x-kept", "2"),
        ]);
        strip(&mut all);
        assert_eq!(texts(&all), ["x-kept: 2"]);
    }

    #[test]
    fn what_a_client_says_of_itself_is_replaced() {
        let mut all = headers(&[
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-for", "10.0.0.2"),
            ("x_forwarded_proto", "https"),
            ("x-forwarded-port", "1"),
            ("x-real-ip", "10.0.0.3"),
            ("forwarded", "for=10.0.0.4"),
            ("expect", "100-continue"),
        ]);
        for_origin(&mut all, CLIENT);
        assert_eq!(
            texts(&all),
            [
                "forwarded: for=192.0.2.7;host=\"meet.example\";proto=https",
                "x-forwarded-for: 192.0.2.7",
                "x-forwarded-host: meet.example",
                "x-forwarded-proto: https",
            ]
        );
    }

    #[test]
    fn a_client_cannot_have_what_the_relay_says_taken_out_on_the_way() {
        let mut all = headers(&[("connection", "x-forwarded-for, forwarded, host")]);
        for_origin(&mut all, CLIENT);
        assert!(all.contains_key(FORWARDED) && all.contains_key(X_FORWARDED_FOR));
    }

    #[test]
    fn what_a_trusted_balancer_says_is_continued() {
        let mut all = headers(&[
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-proto", "https"),
            ("forwarded", "for=198.51.100.1"),
        ]);
        let client = Client {
            secure: false,
            trusted: true,
            address: "2001:db8::1".parse().unwrap(),
            ..CLIENT
        };
        for_origin(&mut all, client);
        assert_eq!(
            texts(&all),
            [
                "forwarded: for=198.51.100.1, for=\"[2001:db8::1]\";host=\"meet.example\";proto=http",
                "x-forwarded-for: 198.51.100.1, 2001:db8::1",
                "x-forwarded-host: meet.example",
                "x-forwarded-proto: https",
            ]
        );
    }

    #[test]
    fn pieces_of_a_cookie_become_one() {
        let mut all = headers(&[("cookie", "a=1"), ("cookie", "b=2")]);
        one_cookie(&mut all);
        assert_eq!(texts(&all), ["cookie: a=1; b=2"]);
    }
}
