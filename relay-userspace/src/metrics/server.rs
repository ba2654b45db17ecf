//! The HTTP side of the metrics: three read-only routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::exposition;
use crate::admission::Admission;
use crate::relay::Relay;

/// At a time. Any user of the host may connect, and every open file of theirs is a relay port less for us.
const CONNECTIONS: usize = 32;
/// From the first byte asked to the last one answered.
const PATIENCE: Duration = Duration::from_secs(10);
const AFTER_A_FAULT: Duration = Duration::from_secs(1);

/// Whether new clients should be sent here; false while the relay drains, and once it is stopping.
#[derive(Debug, Clone)]
pub struct Readiness {
    stopping: Arc<AtomicBool>,
    admission: Admission,
}

impl Readiness {
    pub fn of(admission: &Admission) -> Self {
        Self {
            stopping: Arc::default(),
            admission: admission.clone(),
        }
    }

    pub fn stopping(&self) {
        self.stopping.store(true, Ordering::Relaxed);
    }

    fn is_ready(&self) -> bool {
        !self.stopping.load(Ordering::Relaxed) && !self.admission.is_closed()
    }
}

/// A taken port is not worth a dead relay: the caller goes on with the warning this returns.
pub async fn bind(address: SocketAddr) -> Result<TcpListener, String> {
    TcpListener::bind(address).await.map_err(|error| {
        format!("no metrics: listen on {address}: {error}: free the port, or choose another with --metrics ADDR (or off)")
    })
}

pub fn router(relay: Relay, readiness: Readiness) -> Router {
    Router::new()
        .route("/metrics", get(metrics).with_state(relay))
        .route("/live", get(async || "live\n"))
        .route("/ready", get(ready).with_state(readiness))
}

/// Never ends by itself.
pub async fn serve(listener: TcpListener, router: Router) {
    serve_within(PATIENCE, listener, router).await;
}

async fn serve_within(patience: Duration, listener: TcpListener, router: Router) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(AFTER_A_FAULT).await;
            continue;
        };
        let connection = http1::Builder::new().keep_alive(false).serve_connection(
            TokioIo::new(stream),
            TowerToHyperService::new(router.clone()),
        );
        tokio::spawn(async move {
            // Whoever broke off or was too slow knows best why.
            let _ = timeout(patience, connection).await;
            drop(place);
        });
    }
}

async fn metrics(State(relay): State<Relay>) -> Response {
    match exposition::encode(relay.counters().await) {
        Ok(text) => ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    match readiness.is_ready() {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    use super::*;

    async fn served(patience: Duration) -> SocketAddr {
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/live", get(async || "live\n"));
        tokio::spawn(serve_within(patience, listener, router));
        address
    }

    async fn answer(mut stream: TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_question_is_answered_and_the_connection_closed() {
        let mut stream = TcpStream::connect(served(PATIENCE).await).await.unwrap();
        stream
            .write_all(b"GET /live HTTP/1.1\r\nhost: relay\r\n\r\n")
            .await
            .unwrap();
        let text = answer(stream).await;
        assert!(
            text.starts_with("HTTP/1.1 200") && text.ends_with("live\n"),
            "{text}"
        );
    }

    #[tokio::test]
    async fn connections_that_ask_nothing_do_not_last() {
        let address = served(Duration::from_millis(1)).await;
        let mut silent = Vec::new();
        for _ in 0..2 * CONNECTIONS {
            silent.push(TcpStream::connect(address).await.unwrap());
        }
        for stream in silent {
            assert_eq!(answer(stream).await, "");
        }
    }
}
