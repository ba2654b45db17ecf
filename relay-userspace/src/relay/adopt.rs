//! Other accounts and limits while the relay runs. Says what to whom; the workers' servers judge.

use std::sync::{Arc, PoisonError};

use super::Relay;
use crate::config::{Auth, Limits};
use crate::credentials::Credentials;
use crate::net::control::Request;
use crate::police;
use crate::turn::{Ceilings, Rules};

impl Relay {
    /// For every request from now on. Allocations that `auth` vouches for no longer have ended when this returns; all
    /// others go on. The realm stays what it was.
    pub async fn adopt(&self, auth: Auth, limits: Limits) {
        let realm = self.credentials().realm().to_owned();
        let auth = Auth { realm, ..auth };
        let credentials = Arc::new(Credentials::new(&auth));
        let inner = &self.inner;
        *inner
            .credentials
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::clone(&credentials);
        inner.turn.set_ceilings(Ceilings::new(&limits, &auth));
        let rules = Rules {
            credentials,
            limits,
            strict_expiry: auth.strict_expiry,
        };
        let adopted = inner
            .workers
            .ask(|reply| Request::Adopt(rules.clone(), reply));
        adopted.await;
    }

    /// Rates in place of all there are, those of single sessions excepted.
    pub fn adopt_rates(&self, rates: police::Limits) {
        let shared = &self.inner.shared;
        shared.police.replace(rates);
        shared.fastpath.limits_changed();
    }

    /// Makes time-limited credentials, when a shared secret is configured.
    pub fn credentials(&self) -> Arc<Credentials> {
        let credentials = self.inner.credentials.read();
        Arc::clone(&credentials.unwrap_or_else(PoisonError::into_inner))
    }
}
