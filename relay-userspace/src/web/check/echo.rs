//! A WebSocket that says what it is told, for its round trip: a few short messages, a few seconds, a few at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::turn::{Flood, prefix};
use crate::web::body::{Body, text_of, whole};
use crate::web::connection::Busy;
use crate::web::fault::Fault;
use crate::web::proxy::websocket;

pub const PATH: &str = "/v1/check/echo";
/// Of the whole relay.
const AT_ONCE: usize = 64;
/// Openings of one source prefix.
const PER_SECOND: u32 = 5;
const MESSAGES: usize = 100;
const LONGEST_MESSAGE: usize = 1500;
const LONGEST: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub struct Echo {
    rate: Flood,
    open: Arc<AtomicUsize>,
}

/// One of [`AT_ONCE`], until dropped.
struct Place(Arc<AtomicUsize>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

impl Echo {
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            rate: Flood::new(PER_SECOND, seed),
            open: Arc::default(),
        }
    }

    /// Inside a worker's own tasks. `busy`: while it is open its connection is.
    pub fn answer(
        &self,
        client: IpAddr,
        parts: &Parts,
        upgrade: OnUpgrade,
        busy: Busy,
    ) -> Response<Body> {
        let handshake = websocket::wanted(parts).ok().flatten();
        let accepted = handshake.and_then(|one| one.accept(&parts.headers));
        let Some((status, headers)) = accepted else {
            let text = "this is a WebSocket: open it with wss://\n";
            return text_of(StatusCode::UPGRADE_REQUIRED, "text/plain", text.into());
        };
        let place = self.place();
        let (true, Some(place)) = (self.rate.admit(prefix(client), Instant::now()), place) else {
            return Fault::Full.response();
        };
        tokio::task::spawn_local(async move {
            // Whoever does not end it is cut off; who broke off has what it wanted.
            let _ = tokio::time::timeout(LONGEST, repeat(upgrade)).await;
            drop((place, busy));
        });
        let mut response = Response::new(whole(Default::default()));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }

    fn place(&self) -> Option<Place> {
        let taken = self.open.fetch_add(1, Relaxed);
        let place = Place(Arc::clone(&self.open));
        (taken < AT_ONCE).then_some(place)
    }
}

async fn repeat(upgrade: OnUpgrade) {
    let Ok(stream) = upgrade.await else { return };
    let limits = WebSocketConfig::default()
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE));
    let stream = TokioIo::new(stream);
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits)).await;
    for _ in 0..MESSAGES {
        match socket.next().await {
            Some(Ok(message)) if message.is_text() || message.is_binary() => {
                if socket.send(message).await.is_err() {
                    break;
                }
            }
            Some(Ok(message)) if !message.is_close() => {}
            _ => break,
        }
    }
    let _ = socket.close(None).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_are_open_at_once_and_a_place_is_free_again() {
        let echo = Echo::new([0; 32]);
        let places: Vec<_> = (0..AT_ONCE).map(|_| echo.place().unwrap()).collect();
        assert!(echo.place().is_none() && echo.place().is_none());
        drop(places);
        assert!(echo.place().is_some());
        assert_eq!(echo.open.load(Relaxed), 0);
    }
}
