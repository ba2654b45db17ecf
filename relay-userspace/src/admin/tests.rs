//! The admin socket end to end: a real relay on loopback, a real socket file, the real client.

mod bearer;

use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::client::{AskError, Client};
use super::socket::{self, SocketError, SocketFile};
use super::{Office, router};
use crate::api::{
    CredentialsRequest, ForwardRequest, ForwardView, IceServer, Reloaded, Session, StatusReport,
};
use crate::config::Config;
use crate::relay::Relay;
use crate::secret::Secret;

const NOBODY: u32 = 65_534;

struct Running {
    client: Client,
    relay: Relay,
    file: SocketFile,
    _directory: TempDir,
}

async fn run(secret: Option<&str>) -> Running {
    run_with(|config| {
        config.auth.secrets = secret
            .into_iter()
            .map(|text| Secret::new(text.to_owned()))
            .collect();
    })
    .await
}

async fn run_with(change: impl FnOnce(&mut Config)) -> Running {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("made/admin.sock");
    let (listener, file) = socket::bind(&path).unwrap();
    let mut config = Config::default();
    config.listen.udp = vec!["127.0.0.1:0".parse().unwrap()];
    config.listen.tcp = Vec::new();
    config.listen.tls = Vec::new();
    config.peers.allow = vec!["127.0.0.0/8".parse().unwrap()];
    config.workers = 1;
    config.survive = false;
    change(&mut config);
    let relay = Relay::start(config).await.expect("the relay starts");
    let reloaded = Reloaded {
        certificates: 1,
        applied: Vec::new(),
        needs_restart: vec!["workers".to_owned()],
    };
    let office = Office {
        reload: Box::new(move || Box::pin(std::future::ready(Ok(reloaded.clone())))),
        relay: relay.clone(),
        admin_socket: path.display().to_string(),
        metrics: None,
        warnings: vec!["no metrics".to_owned()],
    };
    tokio::spawn(async move { axum::serve(listener, router(office)).await });
    Running {
        client: Client::new(&path),
        relay,
        file,
        _directory: directory,
    }
}

#[tokio::test]
async fn status_reports_the_relay_and_its_warnings() {
    let it = run(None).await;
    let report: StatusReport = it.client.get("/v1/status").await.unwrap();
    assert_eq!(report.status.pid, std::process::id());
    assert_eq!(report.warnings, ["no metrics"]);
    it.relay.shutdown().await;
}

#[tokio::test]
async fn a_reload_is_asked_for_and_its_answer_handed_on() {
    let it = run(None).await;
    let done: Reloaded = it.client.post("/v1/reload", &()).await.unwrap();
    assert_eq!((done.certificates, done.needs_restart.len()), (1, 1));
    it.relay.shutdown().await;
}

#[tokio::test]
async fn the_socket_and_its_directory_are_private_and_gone_at_the_end() {
    let it = run(None).await;
    let path = it.file.path().to_owned();
    let mode =
        |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o600);
    assert_eq!(mode(path.parent().unwrap()), 0o700);
    it.relay.shutdown().await;
    drop(it.file);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_live_socket_is_refused_and_a_dead_one_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    let (listener, file) = socket::bind(&path).unwrap();
    assert!(matches!(socket::bind(&path), Err(SocketError::InUse(_))));
    std::mem::forget(file);
    drop(listener);
    assert!(path.exists());
    let (_listener, _file) = socket::bind(&path).unwrap();
}

#[tokio::test]
async fn a_directory_behind_a_strangers_link_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let (real, link) = (directory.path().join("real"), directory.path().join("link"));
    std::fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let (_listener, file) = socket::bind(&link.join("admin.sock")).unwrap();
    drop(file);
    if std::os::unix::fs::lchown(&link, Some(NOBODY), None).is_err() {
        let required = std::env::var("RELAY_REQUIRE_PRIVILEGED").is_ok();
        assert!(!required, "may not be skipped here: needs root");
        eprintln!("skipped: needs root");
        return;
    }
    assert!(matches!(
        socket::bind(&link.join("admin.sock")),
        Err(SocketError::StrangersDirectory(_))
    ));
}

#[tokio::test]
async fn a_stranger_who_answers_is_not_asked() {
    let it = run(None).await;
    let me = nix::unistd::geteuid().as_raw();
    let ask = async |uid| {
        let client = it.client.clone().trusting(uid);
        client.get::<StatusReport>("/v1/status").await
    };
    assert!(ask(me).await.is_ok());
    // Root is nobody's stranger.
    let answer = ask(NOBODY).await;
    match me {
        0 => assert!(answer.is_ok()),
        _ => assert!(matches!(answer, Err(AskError::Stranger { uid, .. }) if uid == me)),
    }
    it.relay.shutdown().await;
}

#[tokio::test]
async fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("admin.sock");
    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(
        socket::bind(&path),
        Err(SocketError::NotASocket(_))
    ));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn what_is_not_there_is_not_found() {
    let it = run(None).await;
    let session = it.client.get::<Session>("/v1/sessions/alice").await;
    assert!(
        matches!(&session, Err(AskError::Refused { status: 400, error }) if error.contains("not a number")),
        "{session:?}"
    );
    let session = it.client.get::<Session>("/v1/sessions/77").await;
    assert!(
        matches!(&session, Err(AskError::NotFound(text)) if text.contains("no session 77")),
        "{session:?}"
    );
    let forward = it.client.remove("/v1/forwards/nope").await;
    assert!(
        matches!(&forward, Err(AskError::NotFound(text)) if text.contains("no forward nope")),
        "{forward:?}"
    );
    let route = it.client.get::<Session>("/v2").await;
    assert!(matches!(route, Err(AskError::NotFound(_))));
    it.relay.shutdown().await;
}

#[tokio::test]
async fn wrong_requests_are_refused_with_the_field_and_a_remedy() {
    let it = run(Some("s")).await;
    let wish = ForwardRequest {
        listen: "5004".to_owned(),
        ..wish()
    };
    let answer = it.client.post::<ForwardView>("/v1/forwards", &wish).await;
    let text = "listen: \"5004\" does not name a protocol: write udp/PORT";
    assert!(
        matches!(&answer, Err(AskError::Refused { status: 400, error }) if error.starts_with(text)),
        "{answer:?}"
    );
    let answer = it
        .client
        .post::<ForwardView>("/v1/forwards", &serde_json::json!({"listn": 1}))
        .await;
    assert!(matches!(answer, Err(AskError::Refused { status: 422, .. })));
    let huge = ForwardRequest {
        allow: vec!["10.0.0.0/8".to_owned(); 10_000],
        ..self::wish()
    };
    let answer = it.client.post::<ForwardView>("/v1/forwards", &huge).await;
    assert!(
        matches!(answer, Err(AskError::Refused { status: 413, .. })),
        "{answer:?}"
    );
    it.relay.shutdown().await;
}

#[tokio::test]
async fn credentials_carry_their_expiry_and_point_at_the_relay() {
    let it = run(Some("s")).await;
    let wish = CredentialsRequest {
        user: "alice".to_owned(),
        ttl_seconds: 3600,
        host: Some("[2001:db8::1]:80".to_owned()),
    };
    let servers: Vec<IceServer> = it.client.post("/v1/credentials", &wish).await.unwrap();
    let (expiry, user) = servers[0].username.split_once(':').unwrap();
    assert_eq!(user, "alice");
    assert!(expiry.parse::<u64>().unwrap() > super::routes::unix_now() + 3000);
    assert!(
        servers[0].urls[0].starts_with("turn:[2001:db8::1]:80?"),
        "{:?}",
        servers[0].urls
    );
    let forever = CredentialsRequest {
        ttl_seconds: u64::MAX,
        ..wish.clone()
    };
    let url = CredentialsRequest {
        host: Some("turn:turn.example.org".to_owned()),
        ..wish
    };
    for bad in [forever, url] {
        let answer = it.client.post::<Vec<IceServer>>("/v1/credentials", &bad);
        let answer = answer.await;
        assert!(
            matches!(answer, Err(AskError::Refused { status: 400, .. })),
            "{bad:?}: {answer:?}"
        );
    }
    it.relay.shutdown().await;
}

#[tokio::test]
async fn a_relay_with_static_users_only_says_what_is_missing() {
    let it = run(None).await;
    let wish = CredentialsRequest {
        user: "alice".to_owned(),
        ttl_seconds: 60,
        host: None,
    };
    let answer = it
        .client
        .post::<Vec<IceServer>>("/v1/credentials", &wish)
        .await;
    assert!(
        matches!(&answer, Err(AskError::Refused { status: 409, error }) if error.contains("auth.secrets"))
    );
    it.relay.shutdown().await;
}

#[tokio::test]
async fn no_relay_behind_the_socket_is_its_own_error() {
    let directory = tempfile::tempdir().unwrap();
    let client = Client::new(&directory.path().join("admin.sock"));
    let answer = client.get::<StatusReport>("/v1/status").await;
    assert!(matches!(answer, Err(AskError::NotRunning { .. })));
}

fn wish() -> ForwardRequest {
    ForwardRequest {
        name: None,
        listen: "udp/127.0.0.1:0".to_owned(),
        to: "127.0.0.1:9".to_owned(),
        allow: Vec::new(),
        idle: None,
        max_sessions: None,
    }
}
