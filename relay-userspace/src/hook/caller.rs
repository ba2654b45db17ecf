//! One question over HTTP: what goes out and how its answer is read. Retries nothing, remembers nothing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use super::answer::{Answer, LONGEST, Unreadable, read};
use crate::config::Hook;

#[derive(Debug, thiserror::Error)]
pub enum HookError {
    #[error("auth.hook.ca_file {}: {problem}", .path.display())]
    Authorities { path: PathBuf, problem: String },
    #[error(
        "auth.hook.url: the certificates of this host cannot be read: name some with auth.hook.ca_file"
    )]
    NoAuthorities,
    #[error("auth.hook: {0}")]
    Tls(#[from] rustls::Error),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    #[error("no answer within {0:?}")]
    Late(Duration),
    #[error("{0}")]
    Connection(#[from] hyper_util::client::legacy::Error),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("body: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("body: {0}")]
    Unreadable(#[from] Unreadable),
}

pub struct Caller {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    realm: String,
}

impl Caller {
    pub fn new(hook: &Hook, realm: &str) -> Result<Self, HookError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(authorities(hook)?)
            .with_no_client_auth();
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .build();
        let authorization = hook.token.as_ref().and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            url: hook.url.clone(),
            authorization,
            timeout: hook.timeout,
            realm: realm.to_owned(),
        })
    }

    pub async fn ask(&self, name: &str) -> Result<Answer, Unanswered> {
        let asked = tokio::time::timeout(self.timeout, self.question(name));
        asked.await.map_err(|_| Unanswered::Late(self.timeout))?
    }

    async fn question(&self, name: &str) -> Result<Answer, Unanswered> {
        let body = serde_json::json!({"user": name, "realm": self.realm});
        let mut request = Request::new(Full::from(body.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let response = self.client.request(request).await?;
        match response.status() {
            StatusCode::OK => {}
            // An ordinary way to say no.
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => return Ok(Answer::default()),
            status => return Err(Unanswered::Status(status)),
        }
        let body = Limited::new(response.into_body(), LONGEST).collect().await;
        let body = body.map_err(Unanswered::Body)?.to_bytes();
        Ok(read(&body)?)
    }
}

fn authorities(hook: &Hook) -> Result<rustls::RootCertStore, HookError> {
    let mut store = rustls::RootCertStore::empty();
    if hook.url.scheme_str() != Some("https") {
        return Ok(store);
    }
    let Some(path) = &hook.ca_file else {
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        return match store.is_empty() {
            true => Err(HookError::NoAuthorities),
            false => Ok(store),
        };
    };
    let fault = |problem: String| HookError::Authorities {
        path: path.clone(),
        problem,
    };
    let all = CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
    for one in all {
        let one = one.map_err(|error| fault(error.to_string()))?;
        store.add(one).map_err(|error| fault(error.to_string()))?;
    }
    match store.is_empty() {
        true => Err(fault("holds no certificate".to_owned())),
        false => Ok(store),
    }
}
