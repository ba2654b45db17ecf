//! Who sent a request: the long-term mechanism of RFC 8489 §9.2.4. Nothing is stored here, and nothing before it.

use std::sync::Arc;

use stun_types::attribute::{
    Nonce, PasswordAlgorithm, PasswordAlgorithms, Realm, Userhash, Username,
};
use stun_types::message::Message;
use turn_types::message::REFRESH;

use super::answer::{OFFERED, Reject};
use super::config::ServerConfig as Config;
use super::identity::{FiveTuple, Now};
use super::message::{optional, required};
use super::server::Server;
use crate::credentials::{Algorithm, Grantor, Integrity, LongTermKey, Proof};
use crate::hook::{Known, Record};

/// A user whose integrity was valid.
#[derive(Debug)]
pub(super) struct User {
    pub username: String,
    /// The username without its expiry.
    pub name: String,
    pub key: LongTermKey,
    pub grantor: Grantor,
    /// When the credential does (Unix seconds).
    pub expires: Option<u64>,
    /// What somebody else vouches for.
    pub record: Option<Arc<Record>>,
}

/// Why somebody is no user.
#[derive(Debug)]
pub(super) enum Unproven {
    Rejected(Reject),
    /// Too many wrong passwords came from there: a right one must not be told from them.
    Unheard,
    /// Somebody else knows, and is to be asked about this name.
    Waiting(String),
}

/// Who knows a user.
pub(super) enum Vouched {
    Here,
    ByHook(Arc<Record>),
    ByNobody,
}

/// Who a request says it is from.
enum Claim<'m> {
    Name(&'m str),
    Hash([u8; 32]),
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
        if Integrity::of(message).is_none() {
            return Err(Reject::Unauthenticated.into());
        }
        let name = optional::<Username>(message)?;
        let claim = match &name {
            Some(name) => Claim::Name(name.username()),
            None => Claim::Hash(*required::<Userhash>(message)?.hash()),
        };
        let realm = required::<Realm>(message)?;
        let nonce = required::<Nonce>(message)?;
        if !self.nonces.is_fresh(nonce.nonce(), from.client, now.unix) {
            return Err(Reject::StaleNonce.into());
        }
        let algorithm = chosen_algorithm(message)?;
        if realm.realm() != self.config.credentials.realm() {
            return Err(Reject::Unauthenticated.into());
        }
        if let Some(owner) = self.owner(from, message, &claim) {
            return Ok(owner);
        }
        let (shared, source) = (&self.config.shared, from.client.ip());
        if !shared.may_guess(source, now.mono) {
            return Err(Unproven::Unheard);
        }
        self.stranger(now, message, &claim, algorithm)?
            .ok_or_else(|| {
                shared.guessed_wrong(source, now.mono);
                Reject::Unauthenticated.into()
            })
    }

    /// Who made the allocation proves it with the same key, even after a time-limited credential ran out:
    /// what ends with the credential is the right to a new allocation.
    fn owner(&self, from: FiveTuple, message: &Message<'_>, claim: &Claim<'_>) -> Option<User> {
        let allocation = &self.table[self.table.of_client(&from)?];
        let claimed = match claim {
            Claim::Name(name) => allocation.username == *name,
            Claim::Hash(hash) => {
                let realm = self.config.credentials.realm();
                Userhash::compute(&allocation.username, realm) == *hash
            }
        };
        (claimed && allocation.key.proves(message)).then(|| User {
            username: allocation.username.clone(),
            name: allocation.place.user().to_owned(),
            key: allocation.key.clone(),
            grantor: allocation.grantor.clone(),
            expires: allocation.credential_expires,
            record: None,
        })
    }

    fn stranger(
        &self,
        now: Now,
        message: &Message<'_>,
        claim: &Claim<'_>,
        algorithm: Algorithm,
    ) -> Result<Option<User>, Unproven> {
        let credentials = &self.config.credentials;
        let username = match claim {
            Claim::Name(name) => Some(*name),
            Claim::Hash(hash) => credentials.named(hash),
        };
        let record = match username {
            Some(name) => self.vouched(now, name)?,
            None => Vouched::ByNobody,
        };
        let candidates = |name| match &record {
            Vouched::Here => credentials.candidates(name, algorithm),
            Vouched::ByHook(record) => credentials.vouched(name, algorithm, record),
            Vouched::ByNobody => None,
        };
        let Some((username, candidates)) =
            username.and_then(|name| Some((name, candidates(name)?)))
        else {
            // An unknown user takes as long as a wrong password.
            let _never_proves = credentials.decoy().proves(message);
            return Ok(None);
        };
        let expired = candidates
            .expires
            .is_some_and(|expires| expires <= now.unix);
        let owner = || message.has_method(REFRESH) && self.owns_ticket(now, message, username);
        let mut proofs = candidates.proofs.into_iter();
        let Some(Proof { key, grantor }) = proofs.find(|proof| proof.key.proves(message)) else {
            return Ok(None);
        };
        let record = match record {
            Vouched::ByHook(record) => Some(record),
            Vouched::Here | Vouched::ByNobody => None,
        };
        Ok((!expired || owner()).then(|| User {
            username: username.to_owned(),
            name: candidates.name.to_owned(),
            key,
            grantor,
            expires: candidates.expires,
            record,
        }))
    }

    /// Who is to say whether `username` may: of users of the configuration nobody else is asked.
    pub(super) fn vouched(&self, now: Now, username: &str) -> Result<Vouched, Unproven> {
        let Config {
            directory,
            credentials,
            ..
        } = &self.config;
        let Some(directory) = directory
            .as_ref()
            .filter(|_| !credentials.is_static(username))
        else {
            return Ok(Vouched::Here);
        };
        let name = credentials.name_of(username);
        match directory.look(name, now.mono) {
            Known::Allowed(record) => Ok(Vouched::ByHook(record)),
            Known::Denied => Ok(Vouched::ByNobody),
            Known::Failed => Err(Reject::ServerError.into()),
            Known::Unknown => Err(Unproven::Waiting(name.to_owned())),
        }
    }
}

/// Every nonce of ours says that passwords have algorithms. A client that says nothing of them knows none but MD5; one
/// that does repeats the whole offer, so that nobody took the better part of it away on the way (RFC 8489 §9.2.4).
fn chosen_algorithm(message: &Message<'_>) -> Result<Algorithm, Reject> {
    let seen = optional::<PasswordAlgorithms>(message)?;
    let chosen = optional::<PasswordAlgorithm>(message)?;
    match (seen, chosen) {
        (None, None) => Ok(Algorithm::Md5),
        (Some(seen), Some(chosen)) if seen.algorithms() == OFFERED => Ok(chosen.algorithm().into()),
        _ => Err(Reject::BadRequest),
    }
}
