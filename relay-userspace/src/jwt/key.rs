//! Keys that prove tokens, each for one algorithm. Read from text; never printed.

use hmac::{Hmac, Mac};
use ring::signature::{ED25519, UnparsedPublicKey};
use rustls::pki_types::SubjectPublicKeyInfoDer;
use rustls::pki_types::pem::PemObject;
use sha2::Sha256;

use crate::secret::Secret;

/// RFC 7518 §3.2: as long as the hash, at least.
const SHORTEST_SECRET: usize = 32;
/// SubjectPublicKeyInfo of Ed25519 (RFC 8410 §4) before the 32 bytes of the key.
const ED25519_INFO: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    EdDsa,
    Hs256,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// Ed25519.
    EdDsa([u8; 32]),
    Hs256(Secret<Vec<u8>>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("is not a public key of Ed25519 in PEM")]
    NotEd25519,
    #[error("is shorter than 32 bytes")]
    Short,
}

impl Algorithm {
    /// As in a token's header (RFC 7518, RFC 8037).
    pub fn name(self) -> &'static str {
        match self {
            Self::EdDsa => "EdDSA",
            Self::Hs256 => "HS256",
        }
    }

    pub fn of(name: &str) -> Option<Self> {
        [Self::EdDsa, Self::Hs256]
            .into_iter()
            .find(|algorithm| algorithm.name() == name)
    }
}

impl Key {
    /// A public key in PEM, or a secret on one line.
    pub fn read(algorithm: Algorithm, text: &str) -> Result<Self, KeyFault> {
        match algorithm {
            Algorithm::EdDsa => {
                let info = SubjectPublicKeyInfoDer::from_pem_slice(text.as_bytes());
                let info = info.map_err(|_| KeyFault::NotEd25519)?;
                let key = info
                    .strip_prefix(&ED25519_INFO)
                    .ok_or(KeyFault::NotEd25519)?;
                let key = key.try_into().map_err(|_| KeyFault::NotEd25519)?;
                Ok(Self::EdDsa(key))
            }
            Algorithm::Hs256 => {
                let secret = text.trim().as_bytes();
                match secret.len() < SHORTEST_SECRET {
                    true => Err(KeyFault::Short),
                    false => Ok(Self::Hs256(Secret::new(secret.to_vec()))),
                }
            }
        }
    }

    pub fn algorithm(&self) -> Algorithm {
        match self {
            Self::EdDsa(_) => Algorithm::EdDsa,
            Self::Hs256(_) => Algorithm::Hs256,
        }
    }

    pub(super) fn proves(&self, message: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::EdDsa(key) => UnparsedPublicKey::new(&ED25519, key)
                .verify(message, signature)
                .is_ok(),
            Self::Hs256(secret) => {
                let mac = Hmac::<Sha256>::new_from_slice(secret.expose());
                let mut mac = mac.expect("HMAC takes a key of any length");
                mac.update(message);
                mac.verify_slice(signature).is_ok()
            }
        }
    }
}
