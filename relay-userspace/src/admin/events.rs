//! The stream of events over the admin socket: one line of JSON each, for as long as somebody listens.

use std::convert::Infallible;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::refusal::Refusal;
use super::request;
use super::routes::Asked;
use crate::events::{Event, Subscription};

/// For a listener that does not listen at the moment.
const ROOM: usize = 4096;
/// Of lines that go out together.
const CHUNK: usize = 64 << 10;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Patterns with commas between.
    of: Option<String>,
    user: Option<String>,
}

pub async fn follow(
    State(office): Asked,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(wish) = wish?;
    let filter = request::events(wish.of.as_deref(), wish.user)?;
    let subscription = office.relay.events().subscribe(filter, ROOM)?;
    let stream = Stream {
        greeting: Some(subscription.greeting()),
        subscription,
    };
    let lines = futures_util::stream::unfold(stream, async |mut stream| {
        let chunk = stream.next().await?;
        Some((Ok::<_, Infallible>(chunk), stream))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

struct Stream {
    greeting: Option<Event>,
    subscription: Subscription,
}

impl Stream {
    /// At least one line, and what waits behind it.
    async fn next(&mut self) -> Option<Vec<u8>> {
        let mut chunk = Vec::new();
        if let Some(greeting) = self.greeting.take() {
            write(&mut chunk, &greeting);
            return Some(chunk);
        }
        write(&mut chunk, &*self.subscription.next().await?);
        while chunk.len() < CHUNK
            && let Some(event) = self.subscription.next_now()
        {
            write(&mut chunk, &event);
        }
        Some(chunk)
    }
}

fn write(chunk: &mut Vec<u8>, event: &Event) {
    let written = serde_json::to_writer(&mut *chunk, event);
    debug_assert!(written.is_ok(), "events are JSON");
    chunk.push(b'\n');
}
