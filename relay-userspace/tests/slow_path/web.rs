//! HTTP through a running relay: raw clients over TLS, and origins that behave as they are told.

mod api;
mod check;
mod clients;
mod downgrade;
mod failures;
mod frames;
mod reach;
mod smuggling;
mod unread;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::Response;
use relay_userspace::config::{HostHeader, Route};
use relay_userspace::relay::Relay;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use crate::setup::{DEADLINE, config, relay};
use crate::trust::tls_to;

/// A host, a path and everything else as it usually is.
pub fn route(path: &str, origins: &[SocketAddr]) -> Route {
    let uri = |origin: &SocketAddr| format!("http://{origin}").parse().expect("a URI");
    Route {
        host: Some("relay.test".to_owned()),
        path: path.to_owned(),
        origins: origins.iter().map(uri).collect(),
        ca_file: None,
        host_header: HostHeader::Client,
        allow_origins: Vec::new(),
        connect_timeout: Duration::from_secs(3),
        response_timeout: DEADLINE,
        idle_timeout: DEADLINE,
        max_body_bytes: 1 << 20,
        max_concurrent: 100,
        health_path: None,
        health_interval: Duration::from_millis(20),
    }
}

pub async fn serving(routes: Vec<Route>) -> Relay {
    let mut config = config();
    config.signaling.routes = routes;
    relay(config).await
}

/// An answer, as text.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Answer {
    /// Of a fault.
    pub fn code(&self) -> String {
        let told: serde_json::Value = serde_json::from_str(&self.body).expect(&self.body);
        told["code"].as_str().expect("a code").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|line| line.split_once(": "));
        let of_name = |pair: &(&str, &str)| pair.0.eq_ignore_ascii_case(name);
        lines.find(of_name).map(|(_, value)| value)
    }
}

/// A connection to the relay that says what it is told.
pub async fn connect(relay: &Relay) -> TlsStream<TcpStream> {
    let server = relay.status().listen_tls[0];
    let tcp = TcpStream::connect(server).await.expect("a connection");
    let tls = tls_to(tcp, "relay.test", &[b"http/1.1"]).await;
    tls.expect("TLS").0
}

/// Everything that comes until the relay closes; `None`: it closed without a word.
pub async fn rest(stream: &mut TlsStream<TcpStream>) -> Option<Answer> {
    let mut bytes = Vec::new();
    let read = timeout(DEADLINE, stream.read_to_end(&mut bytes)).await;
    // It may end without a TLS farewell.
    let _ = read.expect("an end in time");
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n")?;
    Some(Answer {
        status: head.split(' ').nth(1)?.parse().ok()?,
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

/// `head`: request line and fields, without Host and Connection.
pub async fn ask(relay: &Relay, head: &str, body: &str) -> Answer {
    let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
    let fields = match fields {
        "" => String::new(),
        some => format!("{some}\r\n"),
    };
    let request =
        format!("{line} HTTP/1.1\r\nHost: relay.test\r\nConnection: close\r\n{fields}\r\n{body}");
    say(relay, &request).await.expect("an answer")
}

/// Exactly these bytes, and what comes of them.
pub async fn say(relay: &Relay, bytes: &str) -> Option<Answer> {
    let mut stream = connect(relay).await;
    // The relay may have refused before it was all said.
    let _ = stream.write_all(bytes.as_bytes()).await;
    rest(&mut stream).await
}

/// One that repeats what it was asked, in its own words.
#[derive(Clone, Default)]
pub struct Echo {
    asked: Arc<Mutex<Vec<String>>>,
}

impl Echo {
    pub async fn start(&self) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let asked = Arc::clone(&self.asked);
        let answer = move |request: Request| {
            let asked = Arc::clone(&asked);
            async move {
                let (parts, body) = request.into_parts();
                let body = axum::body::to_bytes(body, 64 << 20).await;
                let told = told(&parts.method, &parts.uri, &parts.headers, body.ok());
                asked.lock().expect("not poisoned").push(told.clone());
                Response::new(told)
            }
        };
        let router = Router::new().fallback(answer);
        tokio::spawn(async move { axum::serve(listener, router).await });
        address
    }

    /// Everything, in the order it came.
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().expect("not poisoned").clone()
    }
}

fn told(method: &Method, uri: &Uri, headers: &HeaderMap, body: Option<Bytes>) -> String {
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap_or("?")))
        .collect();
    lines.sort();
    let body = body.map(|body| String::from_utf8_lossy(&body).into_owned());
    let body = body.unwrap_or_else(|| "broken".to_owned());
    format!("{method} {uri}\n{}\n\n{body}", lines.join("\n"))
}

/// A TCP server that reads a head and does with the connection what it is told; counts them.
#[derive(Clone, Default)]
pub struct Raw {
    pub connections: Arc<AtomicUsize>,
}

impl Raw {
    pub async fn start<F, R>(&self, act: F) -> SocketAddr
    where
        F: Fn(TcpStream) -> R + Send + Sync + 'static,
        R: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let connections = Arc::clone(&self.connections);
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                connections.fetch_add(1, Ordering::Relaxed);
                if head(&mut stream).await {
                    tokio::spawn(act(stream));
                }
            }
        });
        address
    }

    pub fn count(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn head(stream: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    while !seen.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => seen.push(byte),
            Err(_) => return false,
        }
    }
    true
}
