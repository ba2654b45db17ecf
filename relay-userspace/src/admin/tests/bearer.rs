//! Tokens at the admin socket: what they let their bearer do, and that a bad one is worse than none.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::json;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Running, run_with};
use crate::admin::unix_now;
use crate::config::{Jwt, JwtKey};
use crate::jwt::{Algorithm, Key};
use crate::secret::Secret;

const SHARED: &str = "0123456789abcdef0123456789abcdef";

async fn relay() -> Running {
    run_with(|config| {
        config.auth.secrets = vec![Secret::new("s".to_owned())];
        config.auth.jwt = Some(Jwt {
            issuer: "id".to_owned(),
            audience: "relay".to_owned(),
            clock_skew: std::time::Duration::ZERO,
            keys: vec![JwtKey {
                kid: "one".to_owned(),
                key: Key::read(Algorithm::Hs256, SHARED).unwrap(),
                file: "unused".into(),
            }],
        });
    })
    .await
}

fn token(scope: &str, lasts: i64) -> String {
    let part = |value: serde_json::Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let expires = unix_now() as i64 + lasts;
    let claims = json!({"iss": "id", "aud": "relay", "exp": expires, "sub": "ann", "scope": scope, "max_ttl": 600});
    let text = format!(
        "{}.{}",
        part(json!({"alg": "HS256", "kid": "one"})),
        part(claims)
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SHARED.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

/// Status and whole answer.
async fn ask(it: &Running, request: &str, token: &str, body: &str) -> (u16, String) {
    let mut socket = tokio::net::UnixStream::connect(it.file.path())
        .await
        .unwrap();
    let text = format!(
        "{request} HTTP/1.1\r\nhost: relay\r\nconnection: close\r\nauthorization: {token}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    socket.write_all(text.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    (answer[9..12].parse().unwrap(), answer)
}

#[tokio::test]
async fn a_token_lets_its_bearer_do_what_its_scope_says_and_no_more() {
    let it = relay().await;
    let wish = |user: &str, ttl: u64| json!({"user": user, "ttl_seconds": ttl}).to_string();
    let bearer = |scope: &str| format!("Bearer {}", token(scope, 60));
    for (request, scope, body, status) in [
        ("GET /v1/status", "read", String::new(), 200),
        ("GET /v1/status", "ice", String::new(), 403),
        ("DELETE /v1/sessions/1", "read ice", String::new(), 403),
        ("DELETE /v1/sessions/1", "admin", String::new(), 404),
        ("POST /v1/credentials", "ice", wish("ann", 600), 200),
        ("POST /v1/credentials", "ice", wish("ann", 601), 403),
        ("POST /v1/credentials", "ice", wish("bob", 600), 403),
        ("POST /v1/credentials", "admin", wish("bob", 600), 200),
        ("POST /v1/credentials", "read", wish("ann", 600), 403),
    ] {
        let (got, answer) = ask(&it, request, &bearer(scope), &body).await;
        assert_eq!(got, status, "{request} with {scope}: {answer}");
    }
    it.relay.shutdown().await;
}

#[tokio::test]
async fn a_bad_token_is_worse_than_none() {
    let it = relay().await;
    let good = token("admin", 60);
    for bad in [
        format!("Bearer {}", token("admin", -1)),
        format!("Bearer {good}x"),
        format!("Basic {good}"),
        good,
    ] {
        let (status, answer) = ask(&it, "GET /v1/status", &bad, "").await;
        assert_eq!(status, 401, "{bad}");
        assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
    }
    it.relay.shutdown().await;
    let none = run_with(|_| {}).await;
    let bearer = format!("Bearer {}", token("admin", 60));
    let (status, answer) = ask(&none, "GET /v1/status", &bearer, "").await;
    assert_eq!(status, 401);
    assert!(answer.contains("auth.jwt"), "{answer}");
    none.relay.shutdown().await;
}
