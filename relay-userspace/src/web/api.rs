//! The public API: where to send media, with a credential that ends soon; whether this relay is well, and where it is.
//! Described in `docs/openapi.json`.

mod cors;
mod fault;
mod ice;
mod key;

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::http::request::Parts;
use hyper::{Method, Response, StatusCode};
use serde::Serialize;

use super::body::{Body, json, text_of};
use super::target::Target;
use crate::admin::ice::Reach;
use crate::admission::Admission;
use crate::config::PublicApi;
use crate::credentials::Credentials;
use crate::jwt::Verifier;
use crate::turn::{Flood, prefix};
use fault::Fault;

const DESCRIPTION: &str = include_str!("../../../docs/openapi.json");
const LARGEST_BODY: usize = 16 << 10;
/// For the body of a request to come.
const PATIENCE: Duration = Duration::from_secs(10);
/// Each with the methods it has.
pub const PATHS: [(&str, &str, &str); 4] = [
    ("/v1/ice", "POST", "ice"),
    ("/v1/health", "GET", "health"),
    ("/v1/regions", "GET", "regions"),
    ("/v1/openapi.json", "GET", "openapi"),
];

/// Whose word is believed, and what is given for it.
#[derive(Clone)]
pub struct Authority {
    pub credentials: Arc<Credentials>,
    pub verifier: Option<Arc<Verifier>>,
    /// The ports of this relay.
    pub reach: Reach,
    pub admission: Admission,
    /// So that nobody can aim at another prefix's rate.
    pub seed: [u8; 32],
}

pub struct Api {
    config: PublicApi,
    /// The same for every configuration that follows.
    authority: Arc<RwLock<Authority>>,
    rate: Arc<Flood>,
}

#[derive(Serialize)]
struct Health<'a> {
    status: &'a str,
    region: &'a str,
}

#[derive(Serialize)]
struct Regions<'a> {
    regions: [Region<'a>; 1],
}

#[derive(Serialize)]
struct Region<'a> {
    id: &'a str,
    host: &'a str,
}

impl Api {
    pub fn new(config: &PublicApi, authority: Authority) -> Api {
        Api {
            rate: Arc::new(Flood::new(config.requests_per_second, authority.seed)),
            config: config.clone(),
            authority: Arc::new(RwLock::new(authority)),
        }
    }

    /// The same with another configuration.
    pub fn with(&self, config: &PublicApi) -> Api {
        let rate = match config.requests_per_second == self.config.requests_per_second {
            true => Arc::clone(&self.rate),
            false => {
                let seed = self.authority().seed;
                Arc::new(Flood::new(config.requests_per_second, seed))
            }
        };
        Api {
            rate,
            config: config.clone(),
            authority: Arc::clone(&self.authority),
        }
    }

    pub fn adopt(&self, change: impl FnOnce(&Authority) -> Authority) {
        let mut authority = self
            .authority
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        *authority = change(&authority);
    }

    fn authority(&self) -> Authority {
        let authority = self
            .authority
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        authority.clone()
    }

    /// Exactly its own paths: everything else is for the routes.
    pub fn serves(&self, host: &str, path: &str) -> bool {
        self.is_at(host) && PATHS.iter().any(|(own, ..)| *own == path)
    }

    /// Whether it is served under this name.
    pub fn is_at(&self, host: &str) -> bool {
        let here = self.config.hosts.is_empty() || self.config.hosts.iter().any(|one| one == host);
        self.config.enabled && here
    }

    /// Whether visitors may measure the way here.
    pub fn checks(&self) -> bool {
        self.config.check
    }

    /// The answer, and what was asked for.
    pub async fn answer(
        &self,
        client: IpAddr,
        target: &Target,
        parts: Parts,
        body: Incoming,
    ) -> (Response<Body>, &'static str) {
        let asked = PATHS.iter().find(|(path, ..)| *path == parts.uri.path());
        let (_, method, what) = asked.copied().unwrap_or(("", "", ""));
        if !self.rate.admit(prefix(client), Instant::now()) {
            return (
                cors::allow(&self.config, &parts, Fault::TooMany.response()),
                what,
            );
        }
        if parts.method == Method::OPTIONS {
            return (cors::preflight(&self.config, &parts, method), what);
        }
        let answer = match parts.method.as_str() {
            said if said == method => self.ask(what, target, &parts, body).await,
            "HEAD" if method == "GET" => self.ask(what, target, &parts, body).await,
            _ => Err(Fault::Method(method)),
        };
        let response = answer.unwrap_or_else(|fault| fault.response());
        (cors::allow(&self.config, &parts, response), what)
    }

    async fn ask(
        &self,
        what: &str,
        target: &Target,
        parts: &Parts,
        body: Incoming,
    ) -> Result<Response<Body>, Fault> {
        let authority = self.authority();
        let region = self.config.region.as_str();
        let host = self.config.host.as_deref().unwrap_or(&target.host);
        match what {
            "ice" => {
                if authority.admission.is_closed() {
                    return Err(Fault::Draining);
                }
                let asker = key::asker(&self.config, &authority, &parts.headers)?;
                let wish = ice::read(&read(body).await?)?;
                let servers = ice::servers(&self.config, &authority, &asker, wish, host)?;
                Ok(json(StatusCode::OK, &servers))
            }
            "health" if authority.admission.is_closed() => {
                let status = "draining";
                Ok(json(
                    StatusCode::SERVICE_UNAVAILABLE,
                    &Health { status, region },
                ))
            }
            "health" => {
                let status = "ok";
                Ok(json(StatusCode::OK, &Health { status, region }))
            }
            "regions" => {
                let regions = [Region { id: region, host }];
                Ok(json(StatusCode::OK, &Regions { regions }))
            }
            _ => {
                let text = Bytes::from_static(DESCRIPTION.as_bytes());
                Ok(text_of(StatusCode::OK, "application/json", text))
            }
        }
    }
}

async fn read(body: Incoming) -> Result<Bytes, Fault> {
    let reading = Limited::new(body, LARGEST_BODY).collect();
    let read = tokio::time::timeout(PATIENCE, reading).await;
    let read = read.map_err(|_| Fault::Slow)?;
    read.map(|body| body.to_bytes())
        .map_err(|_| Fault::Body("is larger than 16 KiB, or breaks off".to_owned()))
}
