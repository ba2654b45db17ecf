//! The HTTP side of the metrics: three read-only routes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;

use super::exposition;
use crate::relay::Relay;

/// Whether new clients should be sent here; false once the relay is stopping.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub fn ready() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }

    pub fn stopping(&self) {
        self.0.store(false, Ordering::Relaxed);
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

async fn metrics(State(relay): State<Relay>) -> Response {
    match exposition::encode(relay.counters().await) {
        Ok(text) => ([(header::CONTENT_TYPE, exposition::CONTENT_TYPE)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn ready(State(Readiness(ready)): State<Readiness>) -> Response {
    match ready.load(Ordering::Relaxed) {
        true => "ready\n".into_response(),
        false => (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response(),
    }
}
