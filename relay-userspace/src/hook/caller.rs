//! One question over HTTP: what goes out and how its answer is read. Retries nothing, remembers nothing.

use std::path::PathBuf;
use std::time::Duration;

use http_body_util::Full;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};

use super::answer::{Answer, Unreadable, read};
use crate::config::Hook;
use crate::https::{self, Https, HttpsFault, Untrusting};

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
    #[error("no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Unanswered {
    #[error("{0}")]
    Https(#[from] HttpsFault),
    #[error("status {0}")]
    Status(StatusCode),
    #[error("body: {0}")]
    Unreadable(#[from] Unreadable),
}

pub struct Caller {
    client: Https,
    url: Uri,
    authorization: Option<HeaderValue>,
    timeout: Duration,
    realm: String,
}

impl Caller {
    pub fn new(hook: &Hook, realm: &str) -> Result<Self, HookError> {
        let authorization = hook.token.as_ref().and_then(|token| {
            let mut value = HeaderValue::try_from(format!("Bearer {}", token.expose())).ok()?;
            value.set_sensitive(true);
            Some(value)
        });
        Ok(Self {
            client: Https::trusting(authorities(hook)?)?,
            url: hook.url.clone(),
            authorization,
            timeout: hook.timeout,
            realm: realm.to_owned(),
        })
    }

    pub async fn ask(&self, name: &str) -> Result<Answer, Unanswered> {
        let body = serde_json::json!({"user": name, "realm": self.realm});
        let mut request = Request::new(Full::from(body.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(authorization) = &self.authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        let (status, body) = self.client.ask(request, self.timeout).await?;
        match status {
            StatusCode::OK => Ok(read(&body)?),
            // An ordinary way to say no.
            StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Ok(Answer::default()),
            status => Err(Unanswered::Status(status)),
        }
    }
}

fn authorities(hook: &Hook) -> Result<rustls::RootCertStore, HookError> {
    if hook.url.scheme_str() != Some("https") {
        return Ok(rustls::RootCertStore::empty());
    }
    let found = https::authorities(hook.ca_file.as_deref());
    found.map_err(|fault| match fault {
        Untrusting::File { path, problem } => HookError::Authorities { path, problem },
        Untrusting::NoRoots => HookError::NoAuthorities,
    })
}
