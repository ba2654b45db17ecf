//! The public API of a running relay: what it gives to whom, and that its description says the same.

mod described;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use relay_userspace::admin::unix_now;
use relay_userspace::config::{ApiKey, Config, Jwt, JwtKey};
use relay_userspace::credentials::Credentials;
use relay_userspace::jwt::{Algorithm, Key};
use relay_userspace::relay::Relay;
use relay_userspace::secret::Secret;
use serde_json::{Value, json};
use sha2::Sha256;

use super::{Answer, Echo, ask, route};
use crate::setup::{config, relay};
use described::Description;

const SHARED: &str = "0123456789abcdef0123456789abcdef";
const KEY: &str = "fedcba9876543210";

/// One that takes tokens and a key, and makes credentials.
fn issuing() -> Config {
    let mut config = config();
    config.auth.secrets = vec![Secret::new("of turn".to_owned())];
    config.auth.jwt = Some(Jwt {
        issuer: "https://id.example".to_owned(),
        audience: "relay".to_owned(),
        clock_skew: std::time::Duration::from_secs(30),
        keys: vec![JwtKey {
            kid: "hs".to_owned(),
            key: Key::read(Algorithm::Hs256, SHARED).unwrap(),
            file: "unused".into(),
        }],
    });
    config.api.requests_per_second = 1000;
    config.api.allow_origins = vec!["https://app.example".to_owned()];
    config.api.keys = vec![ApiKey {
        name: "web".to_owned(),
        key: Secret::new(KEY.to_owned()),
        file: "unused".into(),
    }];
    config
}

/// For ann, with these claims besides.
fn token(claims: &Value) -> String {
    let mut body = json!({"iss": "https://id.example", "aud": "relay", "exp": unix_now() + 600, "sub": "ann", "scope": "ice"});
    let more = claims.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!(
        "{}.{}",
        part(&json!({"alg": "HS256", "kid": "hs"})),
        part(&body)
    );
    let mut mac = Hmac::<Sha256>::new_from_slice(SHARED.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    format!(
        "{text}.{}",
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    )
}

/// `proof`: a header. Held to the description.
async fn ice(relay: &Relay, proof: &str, body: &str) -> Answer {
    let head = format!("POST /v1/ice\r\n{proof}\r\nContent-Length: {}", body.len());
    let answer = ask(relay, &head, body).await;
    Description::read().holds("/v1/ice", "post", &answer);
    answer
}

fn json_of(answer: &Answer) -> Value {
    serde_json::from_str(&answer.body).expect(&answer.body)
}

#[tokio::test]
async fn a_token_gets_servers_for_each_mode_with_a_credential_the_relay_verifies() {
    let config = issuing();
    let relay = relay(config.clone()).await;
    let status = relay.status();
    let udp = format!("turn:relay.test:{}?transport=udp", status.listen[0].port());
    let tls = format!(
        "turns:relay.test:{}?transport=tcp",
        status.listen_tls[0].port()
    );
    let proof = format!("Authorization: Bearer {}", token(&json!({})));
    for (body, mode, urls) in [
        ("", "UDP_OVER_TCP", vec![&udp, &tls]),
        (
            r#"{"mode":"UDP_OVER_TCP"}"#,
            "UDP_OVER_TCP",
            vec![&udp, &tls],
        ),
        (r#"{"mode":"UDP_ONLY"}"#, "UDP_ONLY", vec![&udp]),
        (r#"{"mode":"TCP_ONLY"}"#, "TCP_ONLY", vec![&tls]),
    ] {
        let answer = ice(&relay, &proof, body).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let told = json_of(&answer);
        assert_eq!(told["mode"], mode);
        assert_eq!(told["iceServers"][0]["urls"], json!(urls));
        assert_eq!(told["ttl"], 3600);
        let expires = told["expires"].as_u64().unwrap();
        assert!((unix_now() + 3590..=unix_now() + 3600).contains(&expires));
        assert_eq!(told["iceServers"][0]["username"], format!("{expires}:ann"));
        let own = Credentials::new(&config.auth);
        let ttl = std::time::Duration::from_secs(3600);
        let (_, password) = own.mint("ann", ttl, expires - 3600).unwrap();
        assert_eq!(told["iceServers"][0]["credential"], password);
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    relay.shutdown().await;
}

#[tokio::test]
async fn whoever_may_not_is_told_why() {
    let relay = relay(issuing()).await;
    let bearer = |claims: Value| format!("Authorization: Bearer {}", token(&claims));
    let key = format!("X-Api-Key: {KEY}");
    for (proof, body, status, code) in [
        ("X-No: proof".to_owned(), "", 401, "credentials_missing"),
        (
            "Authorization: Basic eA==".to_owned(),
            "",
            401,
            "credentials_missing",
        ),
        (
            "Authorization: Bearer x.y.z".to_owned(),
            "",
            401,
            "token_invalid",
        ),
        (bearer(json!({"exp": 1})), "", 401, "token_invalid"),
        (bearer(json!({"scope": "read"})), "", 403, "out_of_scope"),
        (bearer(json!({})), r#"{"user":"bob"}"#, 403, "not_subject"),
        (
            bearer(json!({"max_ttl": 60})),
            r#"{"ttl":61}"#,
            400,
            "bad_ttl",
        ),
        (bearer(json!({})), r#"{"ttl":0}"#, 400, "bad_ttl"),
        (bearer(json!({})), r#"{"mode":"UDP"}"#, 400, "unknown_mode"),
        (bearer(json!({})), r#"{"mod":"UDP_ONLY"}"#, 400, "bad_body"),
        (bearer(json!({})), "{", 400, "bad_body"),
        (bearer(json!({})), r#"["UDP_ONLY"]"#, 400, "bad_body"),
        (
            "X-Api-Key: fedcba987654321".to_owned(),
            r#"{"user":"bob"}"#,
            401,
            "key_invalid",
        ),
        (key.clone(), "", 400, "bad_user"),
        (key.clone(), r#"{"user":""}"#, 400, "bad_user"),
    ] {
        let answer = ice(&relay, &proof, body).await;
        let seen = (answer.status, answer.code());
        assert_eq!(seen, (status, code.to_owned()), "{proof} {body}");
    }
    let answer = ice(&relay, &key, r#"{"user":"bob","ttl":60}"#).await;
    assert_eq!(json_of(&answer)["ttl"], 60, "{answer:?}");
    let short = ice(&relay, &bearer(json!({"max_ttl": 60})), "").await;
    assert_eq!(json_of(&short)["ttl"], 60);
    let admin = bearer(json!({"scope": "admin"}));
    assert_eq!(ice(&relay, &admin, r#"{"user":"bob"}"#).await.status, 200);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_relay_that_cannot_says_so() {
    let key = format!("X-Api-Key: {KEY}");
    let mut no_udp = issuing();
    no_udp.listen.udp = Vec::new();
    let mut no_secret = issuing();
    no_secret.auth.secrets = Vec::new();
    let mut no_issuer = issuing();
    no_issuer.auth.jwt = None;
    let bearer = format!("Authorization: Bearer {}", token(&json!({})));
    for (config, proof, body, status, code) in [
        (
            no_udp,
            &key,
            r#"{"user":"a","mode":"UDP_ONLY"}"#,
            409,
            "mode_not_served",
        ),
        (no_secret, &key, r#"{"user":"a"}"#, 409, "no_secret"),
        (no_issuer, &bearer, "", 401, "no_issuer"),
    ] {
        let relay = relay(config).await;
        let answer = ice(&relay, proof, body).await;
        assert_eq!((answer.status, answer.code().as_str()), (status, code));
        relay.shutdown().await;
    }
}

#[tokio::test]
async fn every_path_and_answer_is_as_described() {
    let relay = relay(issuing()).await;
    let description = Description::read();
    let served = ask(&relay, "GET /v1/openapi.json", "").await;
    assert_eq!(json_of(&served), description.0);
    for path in ["/v1/health", "/v1/regions", "/v1/openapi.json"] {
        let answer = ask(&relay, &format!("GET {path}"), "").await;
        assert_eq!(answer.status, 200);
        description.holds(path, "get", &answer);
        let answer = ask(&relay, &format!("DELETE {path}"), "").await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET")));
        description.holds(path, "get", &answer);
    }
    let regions = ask(&relay, "GET /v1/regions", "").await;
    assert_eq!(
        json_of(&regions),
        json!({"regions": [{"id": "default", "host": "relay.test"}]})
    );
    let answer = ask(&relay, "GET /v1/ice", "").await;
    assert_eq!((answer.status, answer.header("allow")), (405, Some("POST")));
    description.holds("/v1/ice", "post", &answer);
    assert_eq!(ask(&relay, "GET /v1/other", "").await.code(), "no_route");
    relay.shutdown().await;
}

#[tokio::test]
async fn pages_on_the_list_may_read_the_answers_and_others_may_not() {
    let relay = relay(issuing()).await;
    for (page, allowed) in [
        ("https://app.example", true),
        ("https://evil.example", false),
    ] {
        let preflight =
            format!("OPTIONS /v1/ice\r\nOrigin: {page}\r\nAccess-Control-Request-Method: POST");
        let answer = ask(&relay, &preflight, "").await;
        assert_eq!(answer.status, 204);
        let said = answer.header("access-control-allow-origin");
        assert_eq!(said, allowed.then_some(page));
        let methods = answer.header("access-control-allow-methods");
        assert_eq!(methods, allowed.then_some("POST"));
        let proof = format!("Origin: {page}\r\nX-Api-Key: {KEY}");
        let answer = ice(&relay, &proof, r#"{"user":"a"}"#).await;
        let said = answer.header("access-control-allow-origin");
        assert_eq!(
            (said, answer.header("vary")),
            (allowed.then_some(page), Some("origin"))
        );
    }
    relay.shutdown().await;
}

#[tokio::test]
async fn a_network_that_asks_too_much_is_told_to_wait() {
    let mut config = issuing();
    config.api.requests_per_second = 2;
    let relay = relay(config).await;
    let mut last = ice(&relay, "X-Api-Key: wrong", "").await;
    for _ in 0..1000 {
        if last.status == 429 {
            break;
        }
        last = ice(&relay, "X-Api-Key: wrong", "").await;
    }
    assert_eq!(
        (last.status, last.code().as_str()),
        (429, "too_many_requests")
    );
    assert_eq!(last.header("retry-after"), Some("1"));
    relay.shutdown().await;
}

#[tokio::test]
async fn while_the_relay_drains_it_gives_no_credentials() {
    let relay = relay(issuing()).await;
    relay.admission().close();
    let answer = ice(&relay, &format!("X-Api-Key: {KEY}"), r#"{"user":"a"}"#).await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "draining"));
    let health = ask(&relay, "GET /v1/health", "").await;
    assert_eq!(
        (health.status, json_of(&health)["status"].as_str()),
        (503, Some("draining"))
    );
    Description::read().holds("/v1/health", "get", &health);
    relay.shutdown().await;
}

#[tokio::test]
async fn where_the_api_is_not_served_its_paths_are_the_routes() {
    let echo = Echo::default();
    let origin = echo.start().await;
    for (enabled, hosts, own) in [
        (true, Vec::new(), true),
        (true, vec!["api.example".to_owned()], false),
        (false, Vec::new(), false),
    ] {
        let mut config = issuing();
        config.signaling.routes = vec![route("/", &[origin])];
        config.api.enabled = enabled;
        config.api.hosts = hosts;
        let relay = relay(config).await;
        let answer = ask(&relay, "GET /v1/health", "").await;
        assert_eq!(
            answer.body.starts_with("GET /v1/health"),
            !own,
            "{answer:?}"
        );
        relay.shutdown().await;
    }
}
