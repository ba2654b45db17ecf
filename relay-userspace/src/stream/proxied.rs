//! The PROXY protocol, versions 1 and 2: whom a balancer speaks for. Told byte by byte, so that nothing behind it is taken.

use std::net::SocketAddr;

use ppp::{HeaderResult, PartialResult, v1, v2};

/// "PROXY UNKNOWN\r\n" has more: so much is always part of the header.
const SHORTEST: usize = 12;
const V2_PREFIX: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_HEAD: usize = 16;
/// As the specification says.
const LONGEST_V1: usize = 107;
/// Addresses of Unix sockets and a certificate's subject fit.
const LONGEST_V2: usize = 4096;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    #[error("no PROXY protocol header")]
    NoHeader,
    #[error("a PROXY protocol header of more than {LONGEST_V2} bytes")]
    TooLong,
    #[error("a PROXY protocol header that does not parse")]
    Unreadable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// So many bytes more belong to it for certain.
    Wants(usize),
    /// Whole; `None`: the balancer speaks for itself, to see whether we live.
    Of(Option<SocketAddr>),
}

/// Reads what of a header is there. Give it exactly as many bytes more as it wants, until it is whole.
pub fn read(bytes: &[u8]) -> Result<Header, Malformed> {
    let wanted = wanted(bytes)?;
    if bytes.len() < wanted {
        return Ok(Header::Wants(wanted - bytes.len()));
    }
    let header = HeaderResult::parse(bytes);
    if header.is_incomplete() {
        return Err(Malformed::Unreadable);
    }
    match header {
        HeaderResult::V1(Ok(header)) => Ok(Header::Of(of_v1(&header.addresses))),
        HeaderResult::V2(Ok(header)) if header.command == v2::Command::Local => {
            Ok(Header::Of(None))
        }
        HeaderResult::V2(Ok(header)) => Ok(Header::Of(of_v2(&header.addresses))),
        _ => Err(Malformed::Unreadable),
    }
}

/// Of the whole header, as far as can be told.
fn wanted(bytes: &[u8]) -> Result<usize, Malformed> {
    if bytes.len() < SHORTEST {
        return Ok(SHORTEST);
    }
    if bytes.starts_with(V2_PREFIX) {
        let Some(length) = bytes.get(14..V2_HEAD) else {
            return Ok(V2_HEAD);
        };
        let whole = V2_HEAD + usize::from(u16::from_be_bytes([length[0], length[1]]));
        return match whole > LONGEST_V2 {
            true => Err(Malformed::TooLong),
            false => Ok(whole),
        };
    }
    if !bytes.starts_with(b"PROXY ") {
        return Err(Malformed::NoHeader);
    }
    match bytes.ends_with(b"\r\n") {
        true => Ok(bytes.len()),
        false if bytes.len() >= LONGEST_V1 => Err(Malformed::Unreadable),
        false => Ok(bytes.len() + 1),
    }
}

fn of_v1(addresses: &v1::Addresses) -> Option<SocketAddr> {
    match addresses {
        v1::Addresses::Tcp4(v4) => Some((v4.source_address, v4.source_port).into()),
        v1::Addresses::Tcp6(v6) => Some((v6.source_address, v6.source_port).into()),
        v1::Addresses::Unknown => None,
    }
}

fn of_v2(addresses: &v2::Addresses) -> Option<SocketAddr> {
    match addresses {
        v2::Addresses::IPv4(v4) => Some((v4.source_address, v4.source_port).into()),
        v2::Addresses::IPv6(v6) => Some((v6.source_address, v6.source_port).into()),
        v2::Addresses::Unspecified | v2::Addresses::Unix(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is read of `stream`, and what of it is left behind.
    fn of(stream: &[u8]) -> Result<(Option<SocketAddr>, &[u8]), Malformed> {
        let mut end = 0;
        loop {
            match read(&stream[..end])? {
                Header::Of(client) => return Ok((client, &stream[end..])),
                Header::Wants(more) => end += more,
            }
        }
    }

    fn v2_header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let length = (body.len() as u16).to_be_bytes();
        [V2_PREFIX, &[0x20 | command, family], &length, body].concat()
    }

    #[test]
    fn both_versions_name_the_client_and_leave_what_follows() {
        let v1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 5000 443\r\n\x16\x03\x01";
        let client = "192.0.2.7:5000".parse().unwrap();
        assert_eq!(of(v1), Ok((Some(client), &b"\x16\x03\x01"[..])));
        let v6 = b"PROXY TCP6 2001:db8::7 2001:db8::1 5000 443\r\n";
        let client = "[2001:db8::7]:5000".parse().unwrap();
        assert_eq!(of(v6), Ok((Some(client), &[][..])));
        let body = [
            192, 0, 2, 7, 198, 51, 100, 1, 0x13, 0x88, 1, 187, 4, 0, 1, 9,
        ];
        let v2 = [v2_header(1, 0x11, &body), vec![7]].concat();
        let client = "192.0.2.7:5000".parse().unwrap();
        assert_eq!(of(&v2), Ok((Some(client), &[7][..])));
    }

    #[test]
    fn a_balancer_that_speaks_for_itself_names_nobody() {
        assert_eq!(of(b"PROXY UNKNOWN\r\n"), Ok((None, &[][..])));
        assert_eq!(of(&v2_header(0, 0, &[])), Ok((None, &[][..])));
    }

    #[test]
    fn what_is_no_header_is_refused_without_reading_on() {
        let long = [b"PROXY TCP4 ".as_slice(), &[b'1'; 200]].concat();
        for (bad, why) in [
            (b"GET / HTTP/1.1\r\n\r\n".to_vec(), Malformed::NoHeader),
            (vec![0x16; 20], Malformed::NoHeader),
            (
                b"PROXY TCP4 300.0.0.1 1.1.1.1 1 2\r\n".to_vec(),
                Malformed::Unreadable,
            ),
            (long, Malformed::Unreadable),
            (v2_header(1, 0x11, &[0; 5000]), Malformed::TooLong),
            (v2_header(1, 0x11, &[0; 3]), Malformed::Unreadable),
        ] {
            assert_eq!(of(&bad), Err(why), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_want_without_end(
            head in prop_oneof![
                Just(V2_PREFIX.to_vec()),
                Just(b"PROXY ".to_vec()),
                Just(b"PROXY TCP4 1.1.1.1 ".to_vec()),
                Just(Vec::new()),
            ],
            rest in proptest::collection::vec(any::<u8>(), 5000),
        ) {
            let stream = [head, rest].concat();
            let _ = of(&stream);
        }
    }
}
