//! Who speaks on a new connection, told by its first byte or by what TLS agreed on. Reads no further.

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaker {
    Tls,
    Turn,
    Http,
}

/// ALPN protocols (RFC 7443 §6, RFC 7301 §6), the most wanted first.
pub const ALPN: [&[u8]; 3] = [b"stun.turn", b"h2", b"http/1.1"];

/// By the first byte. TLS begins with a handshake record (RFC 8446 §5.1); a STUN method of that byte is nobody's
/// (RFC 8489 §18.2). HTTP begins with a method, which would be ChannelData of a client without an allocation.
/// `None`: nothing that is spoken here.
pub fn by_first_byte(first: u8) -> Option<Speaker> {
    match first {
        0x16 => Some(Speaker::Tls),
        0x00..=0x3F => Some(Speaker::Turn),
        b'A'..=b'Z' => Some(Speaker::Http),
        _ => None,
    }
}

/// By ALPN; `None` when the client offered none.
pub fn by_alpn(agreed: Option<&[u8]>) -> Option<Speaker> {
    match agreed? {
        b"stun.turn" => Some(Speaker::Turn),
        _ => Some(Speaker::Http),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_three_apart_and_refuses_the_rest() {
        let told = |text: &[u8]| by_first_byte(text[0]);
        assert_eq!(told(b"\x16\x03\x01"), Some(Speaker::Tls));
        assert_eq!(told(b"\x00\x03\x00\x08"), Some(Speaker::Turn));
        for method in ["GET", "PRI * HTTP/2.0", "POST", "OPTIONS"] {
            assert_eq!(told(method.as_bytes()), Some(Speaker::Http), "{method}");
        }
        assert_eq!(told(b"\x80"), None);
        assert_eq!(told(b"ssh"), None);
    }

    #[test]
    fn every_protocol_offered_has_a_speaker() {
        let told = ALPN.map(|name| by_alpn(Some(name)));
        assert_eq!(
            told,
            [Speaker::Turn, Speaker::Http, Speaker::Http].map(Some)
        );
        assert_eq!(by_alpn(None), None);
    }
}
