//! How a receiver knows that events are from this relay, and of now: HMAC-SHA256 over the time and the body.

use hmac::{Hmac, Mac};
use sha2::Sha256;

/// `t=UNIX,v1=HEX`, of `UNIX.BODY`.
pub fn sign(secret: &[u8], unix: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes a key of any length");
    mac.update(unix.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    let hex = mac.finalize().into_bytes();
    let hex: String = hex.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={unix},v1={hex}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `printf '1700000000.[]' | openssl dgst -sha256 -hmac secret`
    #[test]
    fn a_signature_is_what_openssl_computes() {
        let hex = "74f76d8933679a54d6be8c7560a5233b124658241ca5a3b0f09af80d3ea60d78";
        assert_eq!(
            sign(b"secret", 1_700_000_000, b"[]"),
            format!("t=1700000000,v1={hex}")
        );
    }
}
