//! A client for the HTTP servers an operator names: HTTP/1.1, HTTPS by roots that are given, a deadline for all of it.
//! Follows no redirect and keeps no cookie.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Bytes;
use hyper::{Request, StatusCode};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// More of an answer is not read.
const ANSWER_LIMIT: usize = 64 << 10;

/// Clones share their connections.
#[derive(Debug, Clone)]
pub struct Https(Client<HttpsConnector<HttpConnector>, Full<Bytes>>);

#[derive(Debug, thiserror::Error)]
pub enum HttpsFault {
    #[error("no answer within {}s", .0.as_secs())]
    Timeout(Duration),
    #[error("{1}")]
    Connect(#[source] hyper_util::client::legacy::Error, String),
    #[error("the answer breaks off, or is longer than {ANSWER_LIMIT} bytes")]
    Broken,
}

impl Https {
    /// Reads the host's root certificates: without any, HTTPS servers are not trusted, and HTTP works all the same.
    pub fn new() -> Result<Self, rustls::Error> {
        Self::trusting(roots_of_this_host())
    }

    pub fn trusting(roots: RootCertStore) -> Result<Self, rustls::Error> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(client_config(roots)?)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self::over(connector))
    }

    /// For one server, whatever it is called in a URL: its certificate is for `name`, and there is no HTTP without TLS.
    pub fn named(config: ClientConfig, name: ServerName<'static>) -> Self {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(config)
            .https_only()
            .with_server_name_resolver(FixedServerNameResolver::new(name))
            .enable_http1()
            .build();
        Self::over(connector)
    }

    fn over(connector: HttpsConnector<HttpConnector>) -> Self {
        Self(Client::builder(TokioExecutor::new()).build(connector))
    }

    pub async fn ask(
        &self,
        request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<(StatusCode, Bytes), HttpsFault> {
        let asked = async {
            let answer = self.0.request(request).await.map_err(|error| {
                let causes =
                    std::iter::successors(Some(&error as &dyn std::error::Error), |e| e.source());
                let text = causes
                    .map(ToString::to_string)
                    .collect::<Vec<_>>()
                    .join(": ");
                HttpsFault::Connect(error, text)
            })?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_LIMIT)
                .collect()
                .await;
            let body = body.map_err(|_| HttpsFault::Broken)?;
            Ok((status, body.to_bytes()))
        };
        let asked = tokio::time::timeout(deadline, asked).await;
        asked.unwrap_or(Err(HttpsFault::Timeout(deadline)))
    }
}

/// Why nobody could be trusted.
#[derive(Debug, thiserror::Error)]
pub enum Untrusting {
    #[error("{}: {problem}", .path.display())]
    File { path: PathBuf, problem: String },
    #[error("the root certificates of this host cannot be read: name some")]
    NoRoots,
}

/// The authorities of `file`, else those of this host.
pub fn authorities(file: Option<&Path>) -> Result<RootCertStore, Untrusting> {
    let Some(path) = file else {
        let roots = roots_of_this_host();
        return match roots.is_empty() {
            true => Err(Untrusting::NoRoots),
            false => Ok(roots),
        };
    };
    let fault = |problem: String| Untrusting::File {
        path: path.to_owned(),
        problem,
    };
    let mut roots = RootCertStore::empty();
    let all = CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))?;
    for one in all {
        let one = one.map_err(|error| fault(error.to_string()))?;
        roots.add(one).map_err(|error| fault(error.to_string()))?;
    }
    match roots.is_empty() {
        true => Err(fault("holds no certificate".to_owned())),
        false => Ok(roots),
    }
}

pub fn client_config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(config)
}

pub fn roots_of_this_host() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::warn!(%error, "root certificates of this host");
    }
    roots.add_parsable_certificates(found.certs);
    roots
}
