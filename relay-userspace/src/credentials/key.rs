//! The key a user and this server share (RFC 8489 §9.2.2): proves requests and protects answers, in either MESSAGE-INTEGRITY.
//!
//! The codec ties SHA-256 integrity to SHA-256 passwords; a client may combine it with MD5 ones, so it is done here.

use std::fmt;

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

    fn mac(self, key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
        fn over<M: Mac + hmac::digest::KeyInit>(key: &[u8], parts: &[&[u8]]) -> Vec<u8> {
            let mut mac = <M as Mac>::new_from_slice(key).expect("HMAC takes a key of any length");
            parts.iter().for_each(|part| mac.update(part));
            mac.finalize().into_bytes().to_vec()
        }
        match self {
            Self::Sha1 => over::<Hmac<Sha1>>(key, parts),
            Self::Sha256 => over::<Hmac<Sha256>>(key, parts),
        }
    }
}

#[derive(Clone, PartialEq, Eq)]
pub struct LongTermKey {
    algorithm: Algorithm,
    bytes: Vec<u8>,
}

impl LongTermKey {
    pub fn new(algorithm: Algorithm, username: &str, realm: &str, password: &str) -> Self {
        let text = format!("{username}:{realm}:{password}");
        let bytes = match algorithm {
            Algorithm::Md5 => Md5::digest(text).to_vec(),
            Algorithm::Sha256 => Sha256::digest(text).to_vec(),
        };
        Self { algorithm, bytes }
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
        let expected = integrity.mac(&self.bytes, &parts);
        subtle::ConstantTimeEq::ct_eq(&expected[..], &raw.value[..]).into()
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
        let mac = integrity.mac(&self.bytes, &[&data[..value - 4]]);
        data[value..].copy_from_slice(&mac);
    }

    /// Tells a user's keys apart without giving one away: 64 bits of a MAC over a fixed message.
    pub fn print(&self) -> u64 {
        use stun_types::message::{BINDING, MessageClass, MessageType, TransactionId};
        let kind = MessageType::from_class_method(MessageClass::Indication, BINDING);
        let mut message = Message::builder(kind, TransactionId::from(1), MessageWriteVec::new());
        self.protect(&mut message, Integrity::Sha1);
        let bytes = message.finish();
        bytes.last_chunk().copied().map_or(0, u64::from_be_bytes)
    }
}

/// Without the key.
impl fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LongTermKey({:?}, ***)", self.algorithm)
    }
}
