//! Who sent a request: the long-term mechanism of RFC 8489 §9.2.4. Nothing is stored here, and nothing before it.

use stun_types::attribute::{MessageIntegrity, Nonce, Realm, Username};
use stun_types::message::{IntegrityKey, Message};

use stun_types::attribute::AttributeStaticType as _;

use super::answer::Reject;
use super::identity::{FiveTuple, Now};
use super::message::required;
use super::server::Server;

/// A user whose integrity was valid.
#[derive(Debug)]
pub(super) struct User {
    pub username: String,
    /// The username without its expiry.
    pub name: String,
    pub key: IntegrityKey,
}

/// Why somebody is no user.
#[derive(Debug)]
pub(super) enum Unproven {
    Rejected(Reject),
    /// Too many wrong passwords came from there: a right one must not be told from them.
    Unheard,
}

impl From<Reject> for Unproven {
    fn from(reject: Reject) -> Self {
        Self::Rejected(reject)
    }
}

impl Server {
    pub(super) fn authenticate(
        &self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
    ) -> Result<User, Unproven> {
        if !message.has_attribute(MessageIntegrity::TYPE) {
            return Err(Reject::Unauthenticated.into());
        }
        let username = required::<Username>(message)?;
        let realm = required::<Realm>(message)?;
        let nonce = required::<Nonce>(message)?;
        let username = username.username();
        if !self.nonces.is_fresh(nonce.nonce(), from.client, now.unix) {
            return Err(Reject::StaleNonce.into());
        }
        if realm.realm() != self.config.credentials.realm() {
            return Err(Reject::Unauthenticated.into());
        }
        if let Some(owner) = self.owner(from, message, username) {
            return Ok(owner);
        }
        let (shared, source) = (&self.config.shared, from.client.ip());
        if !shared.may_guess(source, now.mono) {
            return Err(Unproven::Unheard);
        }
        self.stranger(now, message, username).ok_or_else(|| {
            shared.guessed_wrong(source, now.mono);
            Reject::Unauthenticated.into()
        })
    }

    /// Who made the allocation proves it with the same key, even after a time-limited credential ran out:
    /// what ends with the credential is the right to a new allocation.
    fn owner(&self, from: FiveTuple, message: &Message<'_>, username: &str) -> Option<User> {
        let allocation = &self.table[self.table.of_client(&from)?];
        let key = allocation.key.expose();
        let proven =
            allocation.username == username && message.validate_integrity_with_key(key).is_ok();
        proven.then(|| User {
            username: username.to_owned(),
            name: allocation.place.user().to_owned(),
            key: key.clone(),
        })
    }

    fn stranger(&self, now: Now, message: &Message<'_>, username: &str) -> Option<User> {
        let credentials = &self.config.credentials;
        let Some(candidates) = credentials.candidates(username) else {
            // An unknown user takes as long as a wrong password.
            let _never_proves = message.validate_integrity_with_key(credentials.decoy());
            return None;
        };
        let expired = candidates
            .expires
            .is_some_and(|expires| expires <= now.unix);
        let key = candidates
            .keys
            .into_iter()
            .find(|key| message.validate_integrity_with_key(key).is_ok())?;
        (!expired).then(|| User {
            username: username.to_owned(),
            name: candidates.name.to_owned(),
            key,
        })
    }
}
