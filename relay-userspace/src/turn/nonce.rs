//! Nonces that need no memory: what this server can (RFC 8489 §9.2), a time stamp, and a truncated MAC over both and the
//! client's address.

use std::net::{IpAddr, SocketAddr};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

/// Seconds a nonce is good for.
const LIFETIME: u32 = 3600;
/// Seconds two workers' readings of the clock may lie apart.
const CLOCK_SKEW: u32 = 5;

/// The nonce cookie and 24 feature bits in base64, the first bit leftmost: whoever takes them out loses the nonce, so a
/// client that sees them knows that nobody bid it down. Bit 0: password algorithms.
const PASSWORD_ALGORITHMS: &str = "obMatJos2gAAA";
/// And bit 1: username anonymity.
const AND_ANONYMITY: &str = "obMatJos2wAAA";

const STAMP: usize = 4;
const MAC: usize = 8;

#[derive(Debug)]
pub(super) struct Nonces {
    key: crate::secret::Secret<[u8; 32]>,
    features: &'static str,
}

impl Nonces {
    /// `anonymity`: every user is known by USERHASH, which clients that see the bit use instead of USERNAME.
    pub fn new(key: [u8; 32], anonymity: bool) -> Self {
        Self {
            key: key.into(),
            features: features(anonymity),
        }
    }

    /// What it says from now on; nonces that said something else are stale.
    pub fn say(&mut self, anonymity: bool) {
        self.features = features(anonymity);
    }

    pub fn issue(&self, client: SocketAddr, unix: u64) -> String {
        let stamp = (unix as u32).to_be_bytes();
        let mut nonce = [0; STAMP + MAC];
        nonce[..STAMP].copy_from_slice(&stamp);
        nonce[STAMP..].copy_from_slice(&self.mac(stamp, client));
        let mut text = self.features.to_owned();
        URL_SAFE_NO_PAD.encode_string(nonce, &mut text);
        text
    }

    /// Whether this server issued `nonce` to `client` less than an hour ago.
    pub fn is_fresh(&self, nonce: &str, client: SocketAddr, unix: u64) -> bool {
        let Some(nonce) = nonce.strip_prefix(self.features) else {
            return false;
        };
        let mut bytes = [0; STAMP + MAC];
        if !matches!(
            URL_SAFE_NO_PAD.decode_slice(nonce, &mut bytes),
            Ok(length) if length == bytes.len()
        ) {
            return false;
        }
        let [s0, s1, s2, s3, mac @ ..] = bytes;
        let stamp = [s0, s1, s2, s3];
        let genuine: bool = self.mac(stamp, client).ct_eq(&mac).into();
        // Wraps in 2106 without harm.
        let age = (unix as u32)
            .wrapping_add(CLOCK_SKEW)
            .wrapping_sub(u32::from_be_bytes(stamp));
        genuine && age < LIFETIME + CLOCK_SKEW
    }

    fn mac(&self, stamp: [u8; STAMP], client: SocketAddr) -> [u8; MAC] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.key.expose())
            .expect("HMAC takes a key of any length");
        mac.update(self.features.as_bytes());
        mac.update(&stamp);
        match client.ip() {
            IpAddr::V4(v4) => mac.update(&v4.octets()),
            IpAddr::V6(v6) => mac.update(&v6.octets()),
        }
        mac.update(&client.port().to_be_bytes());
        let full = mac.finalize().into_bytes();
        std::array::from_fn(|i| full[i])
    }
}

fn features(anonymity: bool) -> &'static str {
    match anonymity {
        true => AND_ANONYMITY,
        false => PASSWORD_ALGORITHMS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn client(address: &str) -> SocketAddr {
        address.parse().unwrap()
    }

    #[test]
    fn a_nonce_is_good_for_an_hour_and_one_client() {
        let nonces = Nonces::new([3; 32], false);
        let alice = client("192.0.2.1:1000");
        let nonce = nonces.issue(alice, NOW);
        assert_eq!(nonce.len(), 29);
        assert!(nonce.starts_with("obMatJos2gAAA"));
        assert!(nonces.is_fresh(&nonce, alice, NOW));
        assert!(nonces.is_fresh(&nonce, alice, NOW + 3599));
        assert!(!nonces.is_fresh(&nonce, alice, NOW + 3600));
        assert!(!nonces.is_fresh(&nonce, alice, NOW - 60));
        assert!(!nonces.is_fresh(&nonce, client("192.0.2.1:1001"), NOW));
        assert!(!nonces.is_fresh(&nonce, client("192.0.2.2:1000"), NOW));
        assert!(!Nonces::new([4; 32], false).is_fresh(&nonce, alice, NOW));
    }

    #[test]
    fn nothing_but_an_issued_nonce_is_fresh() {
        let nonces = Nonces::new([3; 32], false);
        let alice = client("[2001:db8::1]:1000");
        for nonce in [
            "",
            "A",
            "obMatJos2AAAAAAA",
            "AAAAAAAAAAAAAAAA",
            "AAAAAAAAAAAAAAAAAAAAAAAA",
            "ünïcödé",
            "obMatJos2gAAA",
            "obMatJos2gAAAAAAAAAAAAAAAAAAA",
        ] {
            assert!(!nonces.is_fresh(nonce, alice, NOW), "{nonce}");
        }
    }

    #[test]
    fn a_nonce_without_its_features_or_with_others_is_nobodys() {
        let alice = client("192.0.2.1:1000");
        let nonces = Nonces::new([3; 32], true);
        let nonce = nonces.issue(alice, NOW);
        let (features, rest) = nonce.split_at(AND_ANONYMITY.len());
        assert_eq!(features, "obMatJos2wAAA");
        for bid_down in ["", "obMatJos2AAAA", PASSWORD_ALGORITHMS, AND_ANONYMITY] {
            let fresh = nonces.is_fresh(&format!("{bid_down}{rest}"), alice, NOW);
            assert_eq!(fresh, bid_down == AND_ANONYMITY, "{bid_down}");
        }
        let less = Nonces::new([3; 32], false);
        assert!(!less.is_fresh(&format!("{PASSWORD_ALGORITHMS}{rest}"), alice, NOW));
    }
}
