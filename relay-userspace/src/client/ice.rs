//! A relay's own API, asked where its media goes and with which credential (docs/signaling.md). One question, one answer:
//! it keeps neither.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use hyper::{Method, Request, StatusCode, Uri};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde::Deserialize;

use super::request::Login;
use crate::api::IceServer;
use crate::https::{Https, HttpsFault};
use crate::mode::Mode;

#[derive(Debug, Clone)]
pub struct IceApi {
    https: Https,
    uri: Uri,
}

/// What a token is good for.
#[derive(Debug, Clone)]
pub struct Granted {
    pub login: Login,
    /// `None`: the relay has no such port, or the mode no use for it.
    pub udp: Option<Place>,
    pub tcp: Option<Place>,
    pub tls: Option<Place>,
    /// From now on.
    pub ttl: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// An address or a name.
    pub host: String,
    pub port: u16,
}

impl From<Place> for (String, u16) {
    fn from(place: Place) -> Self {
        (place.host, place.port)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum IceFault {
    #[error("{0} cannot be asked for a credential: no such address")]
    Address(String),
    #[error("the token is no text of a header")]
    Token,
    #[error("ask the relay for a credential: {0}")]
    Unreachable(#[from] HttpsFault),
    /// In the relay's own words.
    #[error("the relay gives no credential: {error} ({status} {code})")]
    Refused {
        status: StatusCode,
        code: String,
        error: String,
    },
    #[error("what answered {0} is not a relay's API")]
    NotUnderstood(StatusCode),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    ice_servers: Vec<IceServer>,
    ttl: u64,
}

#[derive(Deserialize)]
struct Told {
    error: String,
    code: String,
}

impl IceApi {
    /// At `host`, whose certificate is for `name`.
    pub fn new(
        host: &str,
        port: u16,
        tls: ClientConfig,
        name: ServerName<'static>,
    ) -> Result<Self, IceFault> {
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        let uri = format!("https://{host}:{port}/v1/ice");
        Ok(Self {
            https: Https::named(tls, name),
            uri: uri.parse().map_err(|_| IceFault::Address(uri))?,
        })
    }

    pub async fn ask(
        &self,
        token: &str,
        mode: Mode,
        patience: Duration,
    ) -> Result<Granted, IceFault> {
        let mut proof = HeaderValue::try_from(format!("Bearer {token}"));
        if let Ok(proof) = &mut proof {
            proof.set_sensitive(true);
        }
        let body = serde_json::json!({ "mode": mode }).to_string();
        let request = Request::builder()
            .method(Method::POST)
            .uri(&self.uri)
            .header(AUTHORIZATION, proof.map_err(|_| IceFault::Token)?)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::from(Bytes::from(body)))
            .map_err(|_| IceFault::Token)?;
        let (status, body) = self.https.ask(request, patience).await?;
        match status {
            StatusCode::OK => {
                let answer = serde_json::from_slice(&body).ok();
                let granted = answer.and_then(granted);
                granted.ok_or(IceFault::NotUnderstood(status))
            }
            _ => match serde_json::from_slice::<Told>(&body) {
                Ok(Told { error, code }) => Err(IceFault::Refused {
                    status,
                    code,
                    error,
                }),
                Err(_) => Err(IceFault::NotUnderstood(status)),
            },
        }
    }
}

/// `None`: there is nobody to log in at.
fn granted(answer: Answer) -> Option<Granted> {
    let server = answer.ice_servers.into_iter().next()?;
    let at = |scheme: &str, transport: &str| {
        let mut places = server.urls.iter();
        places.find_map(|url| place(url, scheme, transport))
    };
    Some(Granted {
        udp: at("turn", "udp"),
        tcp: at("turn", "tcp"),
        tls: at("turns", "tcp"),
        login: Login::new(&server.username, &server.credential),
        ttl: Duration::from_secs(answer.ttl),
    })
}

/// Of `turns:HOST:PORT?transport=tcp` (RFC 7065), as this relay writes it.
fn place(url: &str, scheme: &str, transport: &str) -> Option<Place> {
    let rest = url.strip_prefix(scheme)?.strip_prefix(':')?;
    let (address, said) = rest.split_once("?transport=")?;
    let (host, port) = address.rsplit_once(':').filter(|_| said == transport)?;
    let bare = host.strip_prefix('[').and_then(|one| one.strip_suffix(']'));
    Some(Place {
        host: bare.unwrap_or(host).to_owned(),
        port: port.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_found_by_their_transport() {
        let answer = serde_json::json!({
            "mode": "UDP_OVER_TCP", "ttl": 60, "expires": 1,
            "iceServers": [{
                "urls": ["turn:relay.test:3478?transport=udp", "turns:[2001:db8::1]:443?transport=tcp"],
                "username": "1:ann", "credential": "secret",
            }],
        });
        let granted = granted(serde_json::from_value(answer).unwrap()).unwrap();
        let place = |host: &str, port| {
            Some(Place {
                host: host.to_owned(),
                port,
            })
        };
        assert_eq!(granted.udp, place("relay.test", 3478));
        assert_eq!(granted.tls, place("2001:db8::1", 443));
        assert_eq!(granted.tcp, None);
        assert_eq!(granted.ttl, Duration::from_secs(60));
    }

    #[test]
    fn an_answer_without_servers_is_none() {
        let answer = serde_json::json!({"ttl": 60, "iceServers": []});
        assert!(granted(serde_json::from_value(answer).unwrap()).is_none());
        for url in ["turn:relay.test", "stun:relay.test:1?transport=udp", ""] {
            assert_eq!(place(url, "turn", "udp"), None, "{url}");
        }
    }
}
