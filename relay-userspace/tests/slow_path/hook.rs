//! Users somebody else knows: a real HTTP service that allows, denies, waits or is not there, and counts who asked what.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::Listener;
use axum::{Json, Router};
use futures_util::future::join_all;
use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use relay_userspace::config::{Config, Hook};
use relay_userspace::relay::Relay;
use relay_userspace::secret::Secret;
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::client::{Refused, TurnClient};
use crate::endpoint::Endpoint;
use crate::setup::{Nobody, config, metric, relay};

const CHANNEL: u16 = 0x4001;

/// What it was asked, and when it may answer about `late`.
#[derive(Clone, Default)]
struct Service {
    asked: Arc<Mutex<HashMap<String, u32>>>,
    release: Arc<Notify>,
}

impl Service {
    async fn start(&self) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("its address");
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// The same with TLS, and this certificate.
    async fn start_tls(&self, made: &CertifiedKey<KeyPair>) -> SocketAddr {
        let tcp = tokio::net::TcpListener::bind("127.0.0.1:0").await;
        let tcp = tcp.expect("a port");
        let address = tcp.local_addr().expect("its address");
        let key = PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key.into())
            .expect("a key that fits");
        let tls = TlsAcceptor::from(Arc::new(config));
        let router = self.router();
        tokio::spawn(async move { axum::serve(Secured { tcp, tls }, router).await });
        address
    }

    fn router(&self) -> Router {
        let router = Router::new().route("/ask", post(answer));
        router.with_state(self.clone())
    }

    fn asked(&self, user: &str) -> u32 {
        let asked = self.asked.lock().expect("not poisoned");
        asked.get(user).copied().unwrap_or(0)
    }

    fn asked_in_all(&self) -> u32 {
        let asked = self.asked.lock().expect("not poisoned");
        asked.values().sum()
    }
}

/// Connections whose handshake is over.
struct Secured {
    tcp: tokio::net::TcpListener,
    tls: TlsAcceptor,
}

impl Listener for Secured {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (tcp, from) = self.tcp.accept().await.expect("a connection");
            if let Ok(stream) = self.tls.accept(tcp).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

async fn answer(
    State(service): State<Service>,
    headers: HeaderMap,
    Json(question): Json<serde_json::Value>,
) -> Response {
    if headers
        .get("authorization")
        .is_none_or(|token| token != "Bearer sesame")
    {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let user = question["user"].as_str().unwrap_or_default().to_owned();
    *service
        .asked
        .lock()
        .expect("not poisoned")
        .entry(user.clone())
        .or_default() += 1;
    let password = format!("of-{user}");
    match user.as_str() {
        "one" => Json(serde_json::json!({
            "allow": true, "password": password,
            "limits": {"allocations": 1, "packets_per_second": 5000},
        }))
        .into_response(),
        "many" => Json(serde_json::json!({"allow": true, "password": password})).into_response(),
        "late" => {
            service.release.notified().await;
            Json(serde_json::json!({"allow": true, "password": password})).into_response()
        }
        "broken" => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        "garbage" => Json(serde_json::json!({"allowed": true})).into_response(),
        _ => StatusCode::FORBIDDEN.into_response(),
    }
}

fn asking(service: SocketAddr) -> Config {
    let mut config = config();
    config.auth.hook = Some(Hook {
        url: format!("http://{service}/ask").parse().expect("a URL"),
        timeout: Duration::from_secs(5),
        cache_ttl: Duration::from_secs(60),
        negative_ttl: Duration::from_secs(60),
        cache_entries: 100,
        max_concurrent: 8,
        questions_per_second: 1000,
        token: Some(Secret::new("sesame".to_owned())),
        token_file: None,
        ca_file: None,
    });
    config
}

async fn user(relay: &Relay, name: &'static str, password: &'static str) -> TurnClient {
    TurnClient::of(relay.status().listen[0], name, password).await
}

#[tokio::test]
async fn a_user_of_the_hook_is_let_in_with_its_password_and_held_to_its_limits() {
    let service = Service::default();
    let relay = relay(asking(service.start().await)).await;
    let mut first = user(&relay, "one", "of-one").await;
    first.allocate().await.expect("allowed");
    first.refresh(600).await.expect("refreshed");
    // What may flow is metered; before, there is nothing to hold to a limit.
    let peer = Endpoint::new().await;
    first.permit(peer.address()).await.expect("permitted");
    let mut second = user(&relay, "one", "of-one").await;
    assert_eq!(second.allocate().await.unwrap_err(), Refused(486));
    let mut wrong = user(&relay, "one", "guessed").await;
    assert_eq!(wrong.allocate().await.unwrap_err(), Refused(401));
    assert_eq!(service.asked("one"), 1, "remembered");
    let limits = relay.limits().users;
    let own = limits
        .iter()
        .find(|user| user.user == "one")
        .expect("has a meter");
    assert_eq!(own.limit.packets_per_second, Some(5000));
    assert_eq!(service.asked("alice"), 0);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_user_who_is_denied_is_asked_about_once() {
    let service = Service::default();
    let relay = relay(asking(service.start().await)).await;
    for _ in 0..3 {
        let mut nobody = user(&relay, "nobody", "of-nobody").await;
        assert_eq!(nobody.allocate().await.unwrap_err(), Refused(401));
    }
    assert_eq!(service.asked("nobody"), 1);
    assert_eq!(metric(&relay, "hook_lookups", "denied").await, 1);
    relay.shutdown().await;
}

#[tokio::test]
async fn many_clients_of_one_user_at_once_are_one_question() {
    let service = Service::default();
    let relay = relay(asking(service.start().await)).await;
    let clients = (0..12).map(|_| async {
        let mut client = user(&relay, "many", "of-many").await;
        client.allocate().await.map(|_| client)
    });
    let clients = join_all(clients).await;
    assert!(clients.iter().all(Result::is_ok));
    assert_eq!(service.asked("many"), 1);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_service_that_does_not_answer_lets_nobody_in_and_disturbs_nobody_else() {
    for (name, service_runs) in [("broken", true), ("garbage", true), ("anyone", false)] {
        let (service, nobody) = (Service::default(), Nobody::new());
        let address = service.start().await;
        let mut config = asking(address);
        if !service_runs {
            let nobody = nobody.address();
            config.auth.hook.as_mut().expect("set").url =
                format!("http://{nobody}/ask").parse().expect("a URL");
        }
        let relay = relay(config).await;
        let mut client = user(&relay, name, "x").await;
        assert_eq!(client.allocate().await.unwrap_err(), Refused(500), "{name}");
        assert_eq!(metric(&relay, "hook_lookups", "failed").await, 1, "{name}");
        let mut alice = TurnClient::new(relay.status().listen[0]).await;
        alice.allocate().await.expect("of the configuration");
        relay.shutdown().await;
    }
}

#[tokio::test]
async fn while_the_service_is_slow_others_are_served_and_the_one_who_waits_is_answered_in_the_end()
{
    let service = Service::default();
    let mut config = asking(service.start().await);
    config.workers = 1;
    let relay = relay(config).await;
    let server = relay.status().listen[0];
    let peer = Endpoint::new().await;
    let mut late = user(&relay, "late", "of-late").await;
    let waiting = async { (late.allocate().await, Instant::now()) };
    let served = async {
        crate::setup::eventually("the service is asked", async || service.asked("late") == 1).await;
        let mut alice = TurnClient::new(server).await;
        let relayed = alice.allocate().await.expect("allocated").relayed;
        alice.bind(CHANNEL, peer.address()).await.expect("bound");
        for _ in 0..20 {
            alice.send_channel(CHANNEL, b"data").await;
            assert_eq!(peer.receive().await, (b"data".to_vec(), relayed));
        }
        let done = Instant::now();
        service.release.notify_waiters();
        done
    };
    let ((allocated, at), served) = tokio::join!(waiting, served);
    allocated.expect("allowed in the end");
    assert!(served < at);
    assert_eq!(service.asked("late"), 1);
    relay.shutdown().await;
}

#[tokio::test]
async fn a_service_that_is_too_slow_is_not_waited_for() {
    let service = Service::default();
    let mut config = asking(service.start().await);
    config.auth.hook.as_mut().expect("set").timeout = Duration::from_millis(200);
    let relay = relay(config).await;
    let mut late = user(&relay, "late", "of-late").await;
    assert_eq!(late.allocate().await.unwrap_err(), Refused(500));
    relay.shutdown().await;
}

#[tokio::test]
async fn made_up_names_are_asked_about_at_the_rate_of_their_prefix_and_disturb_no_other() {
    const RATE: u32 = 5;
    /// No more than may wait for a worker.
    const NAMES: u64 = 60;
    let service = Service::default();
    let mut config = asking(service.start().await);
    let hook = config.auth.hook.as_mut().expect("set");
    (hook.questions_per_second, hook.max_concurrent) = (RATE, 1000);
    let relay = relay(config).await;
    let server = relay.status().listen[0];
    let mut stranger = TurnClient::at("127.0.9.1:0", server).await;
    let begun = Instant::now();
    let names = (0..NAMES).map(|n| format!("made-up-{n}"));
    stranger.ask_as(names).await;
    crate::setup::eventually("every name was asked about, or was not", async || {
        let not_asked = metric(&relay, "hook_refused", "rate").await;
        not_asked + u64::from(service.asked_in_all()) == NAMES
    })
    .await;
    let most = RATE + 1 + RATE * begun.elapsed().as_millis() as u32 / 1000;
    let asked = service.asked_in_all();
    assert!((RATE..=most).contains(&asked), "{asked} questions");
    let mut many = user(&relay, "many", "of-many").await;
    many.allocate().await.expect("of another prefix");
    let mut alice = TurnClient::at("127.0.9.2:0", server).await;
    alice.allocate().await.expect("of the configuration");
    relay.shutdown().await;
}

#[tokio::test]
async fn a_service_with_tls_is_believed_only_if_its_authority_is_named() {
    let made = || generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let (own, other) = (made(), made());
    let folder = tempfile::tempdir().expect("a folder");
    for (trusted, allocated) in [(&own, Ok(())), (&other, Err(Refused(500)))] {
        let service = Service::default();
        let mut config = asking(service.start_tls(&own).await);
        let hook = config.auth.hook.as_mut().expect("set");
        hook.url = (hook.url.to_string().replace("http:", "https:"))
            .parse()
            .expect("a URL");
        let file = folder.path().join("ca.pem");
        std::fs::write(&file, trusted.cert.pem()).expect("written");
        hook.ca_file = Some(file);
        let relay = relay(config).await;
        let mut many = user(&relay, "many", "of-many").await;
        assert_eq!(many.allocate().await.map(drop), allocated);
        assert_eq!(service.asked("many"), u32::from(allocated.is_ok()));
        let failed = metric(&relay, "hook_lookups", "failed").await;
        assert_eq!(failed, u64::from(allocated.is_err()));
        relay.shutdown().await;
    }
}
