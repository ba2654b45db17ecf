//! The command, asked to connect by somebody who has to read what a mean server says.

use std::process::Stdio;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::setup::DEADLINE;

/// Clears the screen, begins a line, and turns around what follows.
const DRIVES: &str = r"\u001b[2J\r\nrelay: connected\n\u202e";

/// Answers every request with it, as the API's reason; its port, and its certificate as PEM.
async fn mean_api() -> (u16, String) {
    let made =
        rcgen::generate_simple_self_signed(["relay.test".to_owned()]).expect("a certificate");
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).expect("a key");
    let tls = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(tcp).await else {
                continue;
            };
            let mut asked = [0; 4096];
            let _ = stream.read(&mut asked).await;
            let body = format!(r#"{{"error": "{DRIVES}", "code": "{DRIVES}"}}"#);
            let length = body.len();
            let answer = format!("HTTP/1.1 401 No\r\nContent-Length: {length}\r\n\r\n{body}");
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
    });
    (port, made.cert.pem())
}

#[tokio::test]
async fn what_a_server_says_stays_on_one_line_and_does_not_drive_the_terminal() {
    let (port, certificate) = mean_api().await;
    let folder = tempfile::tempdir().expect("a folder");
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, certificate).expect("written");
    let mut connect = Command::new(env!("CARGO_BIN_EXE_relay"));
    connect
        .args(["connect", "--tls-name", "relay.test", "--forward"])
        .args(["udp/127.0.0.1:0=192.0.2.1:9", "--token", "anything"])
        .args(["--server", &format!("127.0.0.1:{port}"), "--ca"])
        .arg(ca)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let said = timeout(DEADLINE, connect.output()).await;
    let said = said.expect("in time").expect("it runs");
    let text = String::from_utf8(said.stderr).expect("UTF-8");
    assert_eq!(said.status.code(), Some(77), "{text:?}");
    let line = text.strip_suffix('\n').expect("a line");
    assert!(
        line.contains("gives no credential") && line.contains("connected"),
        "{line:?}"
    );
    let drives = |c: char| c.is_control() || c == '\u{202e}';
    assert!(!line.contains(drives), "{line:?}");
}
