//! The key a user and this server share (RFC 8489 §9.2.2): proves requests and protects answers, in either MESSAGE-INTEGRITY.
//!
//! The codec ties SHA-256 integrity to SHA-256 passwords; a client may combine it with MD5 ones, so it is done here.

use std::fmt;
use std::sync::OnceLock;

use hmac::{Hmac, Mac};
use md5::{Digest as _, Md5};
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::Sha256;
use stun_types::attribute::{
    Attribute as _, AttributeStaticType as _, MessageIntegrity, MessageIntegritySha256,
    PasswordAlgorithmValue,
};
use stun_types::message::{Message, MessageHeader, MessageWrite as _, MessageWriteVec};

/// How a password becomes a key (RFC 8489 §18.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Algorithm {
    #[default]
    Md5,
    Sha256,
}

impl From<PasswordAlgorithmValue> for Algorithm {
    fn from(value: PasswordAlgorithmValue) -> Self {
        match value {
            PasswordAlgorithmValue::MD5 => Self::Md5,
            PasswordAlgorithmValue::SHA256 => Self::Sha256,
        }
    }
}

/// Which attribute protects a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Integrity {
    Sha1,
    Sha256,
}

impl Integrity {
    /// The one that counts; the stronger, where there are both.
    pub fn of(message: &Message<'_>) -> Option<Self> {
        if message.has_attribute(MessageIntegritySha256::TYPE) {
            Some(Self::Sha256)
        } else if message.has_attribute(MessageIntegrity::TYPE) {
            Some(Self::Sha1)
        } else {
            None
        }
    }

    /// Of the whole MAC. RFC 8489 §14.6 allows a shorter one only where the usage says so, and TURN does not.
    fn length(self) -> usize {
        match self {
            Self::Sha1 => 20,
            Self::Sha256 => 32,
        }
    }

    /// The rest of a shorter MAC is zero.
    fn mac(self, key: &[u8], parts: &[&[u8]]) -> [u8; LONGEST_MAC] {
        fn over<M: Mac + hmac::digest::KeyInit>(key: &[u8], parts: &[&[u8]]) -> [u8; LONGEST_MAC] {
            let mut mac = <M as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
            parts.iter().for_each(|part| mac.update(part));
            let mut whole = [0; LONGEST_MAC];
            let bytes = mac.finalize().into_bytes();
            whole[..bytes.len()].copy_from_slice(&bytes);
            whole
        }
        match self {
            Self::Sha1 => over::<Hmac<Sha1>>(key, parts),
            Self::Sha256 => over::<Hmac<Sha256>>(key, parts),
        }
    }
}

const LONGEST_MAC: usize = 32;

#[derive(Clone)]
pub struct LongTermKey {
    algorithm: Algorithm,
    /// As many as the algorithm makes; the rest is zero.
    bytes: [u8; 32],
    print: OnceLock<u64>,
}

impl LongTermKey {
    pub fn new(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Self {
        let text = format!("{username}:{realm}:{password}");
        let mut bytes = [0; 32];
        match algorithm {
            Algorithm::Md5 => bytes[..16].copy_from_slice(&Md5::digest(text)),
            Algorithm::Sha256 => bytes.copy_from_slice(&Sha256::digest(text)),
        }
        Self {
            algorithm,
            bytes,
            print: OnceLock::new(),
        }
    }

    fn bytes(&self) -> &[u8] {
        match self.algorithm {
            Algorithm::Md5 => &self.bytes[..16],
            Algorithm::Sha256 => &self.bytes,
        }
    }

    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Whether `message` was protected with this key.
    pub fn proves(&self, message: &Message<'_>) -> bool {
        let Some(integrity) = Integrity::of(message) else {
            return false;
        };
        let kind = match integrity {
            Integrity::Sha1 => MessageIntegrity::TYPE,
            Integrity::Sha256 => MessageIntegritySha256::TYPE,
        };
        let Some((offset, raw)) = message
            .iter_attributes()
            .find(|(_, raw)| raw.get_type() == kind)
        else {
            return false;
        };
        let bytes = message.as_bytes();
        // The length field as if the message ended with this attribute (RFC 8489 §14.5).
        let end = offset + 4 + integrity.length() - MessageHeader::LENGTH;
        let Ok(end) = u16::try_from(end) else {
            return false;
        };
        let parts = [&bytes[..2], &end.to_be_bytes(), &bytes[4..offset]];
        let expected = integrity.mac(self.bytes(), &parts);
        subtle::ConstantTimeEq::ct_eq(&expected[..integrity.length()], &raw.value[..]).into()
    }

    /// Adds the attribute; nothing but FINGERPRINT may follow.
    pub fn protect(&self, message: &mut MessageWriteVec, integrity: Integrity) {
        match integrity {
            Integrity::Sha1 => message.push_attribute_unchecked(&MessageIntegrity::new([0; 20])),
            Integrity::Sha256 => message.push_attribute_unchecked(
                &MessageIntegritySha256::new(&[0; 32]).expect("32 bytes are a whole MAC"),
            ),
        }
        let value = message.len() - integrity.length();
        let data = message.mut_data();
        let mac = integrity.mac(self.bytes(), &[&data[..value - 4]]);
        data[value..].copy_from_slice(&mac[..integrity.length()]);
    }

    /// Tells a user's keys apart without giving one away: 64 bits of a MAC over a text that is no message. Made once, and
    /// copies have it, too.
    pub fn print(&self) -> u64 {
        *self.print.get_or_init(|| {
            let mac = Integrity::Sha1.mac(self.bytes(), &[b"print of a key"]);
            mac.first_chunk().copied().map_or(0, u64::from_be_bytes)
        })
    }
}

impl PartialEq for LongTermKey {
    fn eq(&self, other: &Self) -> bool {
        self.algorithm == other.algorithm && self.bytes == other.bytes
    }
}

impl Eq for LongTermKey {}

/// Without the key.
impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LongTermKey({:?}, ***)", self.algorithm)
    }
}
