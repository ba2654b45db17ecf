//! A WebSocket that says what it is told, for its round trip: a few short messages, a few seconds, a few at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use hyper::header::{HeaderValue, SEC_WEBSOCKET_VERSION};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, join, split};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use crate::net::stream::gate::{Full, Gate, Place, Places};
use crate::turn::{Flood, prefix};
use crate::web::body::{Body, text_of, whole};
use crate::web::connection::Busy;
use crate::web::fault::Fault;
use crate::web::proxy::websocket;

/// Of RFC 6455, the only one there is.
const VERSION: HeaderValue = HeaderValue::from_static("13");
pub const PATH: &str = "/v1/check/echo";
/// Of the whole relay, and of one source prefix: who has measured leaves, and who stays takes no other's place.
const AT_ONCE: Places = Places {
    total: 64,
    of_a_prefix: 16,
};
/// Openings of one source prefix.
const PER_SECOND: u32 = 5;
const MESSAGES: usize = 100;
const LONGEST_MESSAGE: usize = 1500;
/// With the largest header of a frame (RFC 6455 §5.2). Pings and pieces that never become a message are no reason to read more.
const MOST_READ: u64 = (MESSAGES * (LONGEST_MESSAGE + 14)) as u64;
const LONGEST: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub struct Echo {
    rate: Flood,
    places: Arc<Gate>,
}

impl Echo {
    pub fn new(seed: [u8; 32]) -> Self {
        Self {
            rate: Flood::new(PER_SECOND, seed),
            places: Gate::of(AT_ONCE),
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
        let version = parts.headers.get(SEC_WEBSOCKET_VERSION);
        let spoken = version.is_some_and(|said| said.as_bytes() == VERSION.as_bytes());
        let handshake = websocket::wanted(parts).ok().flatten().filter(|_| spoken);
        let accepted = handshake.and_then(|one| one.accept(&parts.headers));
        let Some((status, headers)) = accepted else {
            let text = "this is a WebSocket: open it with wss://\n";
            let mut refused = text_of(StatusCode::UPGRADE_REQUIRED, "text/plain", text.into());
            refused.headers_mut().insert(SEC_WEBSOCKET_VERSION, VERSION);
            return refused;
        };
        let place = self.place(client);
        let (true, Ok(place)) = (self.rate.admit(prefix(client), Instant::now()), place) else {
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

    fn place(&self, client: IpAddr) -> Result<Place, Full> {
        let mut place = self.places.enter()?;
        place.of(client)?;
        Ok(place)
    }
}

async fn repeat(upgrade: OnUpgrade) {
    let Ok(stream) = upgrade.await else { return };
    let limits = WebSocketConfig::default()
        .max_message_size(Some(LONGEST_MESSAGE))
        .max_frame_size(Some(LONGEST_MESSAGE))
        .read_buffer_size(LONGEST_MESSAGE)
        .write_buffer_size(0);
    let (from, to) = split(TokioIo::new(stream));
    let stream = join(from.take(MOST_READ), to);
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
    fn one_network_takes_a_quarter_of_the_places_and_gives_them_back() {
        let echo = Echo::new([0; 32]);
        let of = |network: u8| {
            let client = IpAddr::from([192, 0, network, 1]);
            let places = std::iter::from_fn(|| echo.place(client).ok());
            places.collect::<Vec<_>>()
        };
        let all: Vec<_> = (0..6).map(of).collect();
        let counts: Vec<_> = all.iter().map(Vec::len).collect();
        assert_eq!(counts, [16, 16, 16, 16, 0, 0]);
        drop(all);
        assert_eq!(of(5).len(), 16);
    }
}
