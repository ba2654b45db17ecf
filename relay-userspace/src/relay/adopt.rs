//! Other accounts and limits while the relay runs. Says what to whom; the workers' servers judge.

use std::sync::{Arc, PoisonError};

use super::Relay;
use crate::config::{Auth, Config};
use crate::credentials::Credentials;
use crate::events::webhook::{self, WebhookFault};
use crate::hook::{Hook, HookError};
use crate::jwt::Verifier;
use crate::net::control::Request;
use crate::police;
use crate::turn::{Ceilings, Rules};
use crate::web::{self, Authority};

impl Relay {
    /// Accounts, limits and what of TURN can change, for every request from now on. Allocations that the accounts vouch
    /// for no longer have ended when this returns; all others go on. The realm stays what it was.
    pub async fn adopt(&self, config: &Config, hook: Option<Hook>) {
        let realm = self.credentials().realm().to_owned();
        let auth = Auth {
            realm,
            ..config.auth.clone()
        };
        let credentials = Arc::new(Credentials::new(&auth));
        let inner = &self.inner;
        let directory = hook.as_ref().map(|hook| Arc::clone(hook.directory()));
        *inner
            .shared
            .hook
            .write()
            .unwrap_or_else(PoisonError::into_inner) = hook;
        *inner
            .credentials
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::clone(&credentials);
        let verifier = auth.jwt.as_ref().map(Verifier::new).map(Arc::new);
        *inner
            .verifier
            .write()
            .unwrap_or_else(PoisonError::into_inner) = verifier.clone();
        inner
            .shared
            .streams
            .web
            .adopt_authority(|before| Authority {
                credentials: Arc::clone(&credentials),
                verifier,
                ..before.clone()
            });
        inner
            .turn
            .set_ceilings(Ceilings::new(&config.limits, &auth));
        let rules = Rules {
            credentials,
            limits: config.limits.clone(),
            strict_expiry: auth.strict_expiry,
            directory,
            alternates: config.turn.alternates.as_slice().into(),
            mobility: config.turn.mobility,
        };
        let adopted = inner
            .workers
            .ask(|reply| Request::Adopt(rules.clone(), reply));
        adopted.await;
    }

    /// Who is asked about users according to `auth`: the one there is, with what it remembers, unless it changed.
    pub fn prepare_hook(&self, auth: &Auth) -> Result<Option<Hook>, HookError> {
        let Some(wanted) = &auth.hook else {
            return Ok(None);
        };
        match self.inner.shared.hook() {
            Some(hook) if hook.is_as(wanted) => Ok(Some(hook)),
            _ => Hook::new(wanted, self.credentials().realm()).map(Some),
        }
    }

    /// Rates in place of all there are, those of single sessions excepted.
    pub fn adopt_rates(&self, rates: police::Limits) {
        let shared = &self.inner.shared;
        shared.police.replace(rates);
        shared.fastpath.limits_changed();
    }

    /// Routes and the public API as they are to be, with all they name read: nothing changes yet.
    pub fn prepare_web(&self, config: &Config) -> Result<web::Next, web::Unroutable> {
        let web = &self.inner.shared.streams.web;
        web.prepare(&config.signaling, &config.api)
    }

    pub fn adopt_web(&self, next: web::Next) {
        self.inner.shared.streams.web.adopt(next);
    }

    /// Who is to be told what happens, with all that takes: nothing changes yet.
    pub async fn prepare_webhooks(&self, config: &Config) -> Result<webhook::Next, WebhookFault> {
        let webhooks = self.inner.webhooks.lock().await;
        webhooks.prepare(&config.events.webhooks, &self.inner.shared.events)
    }

    pub async fn adopt_webhooks(&self, next: webhook::Next) {
        self.inner.webhooks.lock().await.adopt(next);
    }

    /// Judges the API's tokens, when somebody's are believed.
    pub fn verifier(&self) -> Option<Arc<Verifier>> {
        let verifier = self.inner.verifier.read();
        verifier.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes time-limited credentials, when a shared secret is configured.
    pub fn credentials(&self) -> Arc<Credentials> {
        let credentials = self.inner.credentials.read();
        Arc::clone(&credentials.unwrap_or_else(PoisonError::into_inner))
    }
}
