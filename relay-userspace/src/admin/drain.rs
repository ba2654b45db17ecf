//! Routes of the drain: begin it, look at it, follow it to its end, take it back.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::refusal::Refusal;
use super::routes::{Answer, Asked};
use crate::api::{Drain, DrainPhase, DrainRequest};
use crate::config::fault::Wrong;
use crate::relay::{DrainOrder, Relay};

/// What has not changed is told again after this long.
const EVERY: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(50);
const LONGEST: u64 = 30 * 86_400;

pub async fn begin(
    State(office): Asked,
    body: Result<Json<DrainRequest>, JsonRejection>,
) -> Answer<Drain> {
    let wish = body?.0;
    if wish.deadline_seconds > LONGEST {
        let problem = format!("{} s are longer than 30 days", wish.deadline_seconds);
        let wrong = Wrong::new(problem, "ask for less");
        let key = "deadline_seconds";
        return Err(Refusal::Wrong { key, wrong });
    }
    let begun = office.relay.drain(DrainOrder {
        deadline: Duration::from_secs(wish.deadline_seconds),
        until: wish.until,
        is_final: false,
    });
    tracing::info!(
        deadline_seconds = wish.deadline_seconds,
        until = wish.until,
        "draining"
    );
    begun.map(Json).ok_or(Refusal::NeverDrained)
}

pub async fn show(State(office): Asked) -> Answer<Drain> {
    let view = office.relay.drain_view();
    view.map(Json).ok_or(Refusal::NeverDrained)
}

pub async fn cancel(State(office): Asked) -> Result<StatusCode, Refusal> {
    office.relay.cancel_drain()?;
    tracing::info!("draining no more");
    Ok(StatusCode::NO_CONTENT)
}

/// A line of JSON whenever something changes and every second, the last one when it is over or was taken back.
pub async fn follow(State(office): Asked) -> Result<Response, Refusal> {
    office.relay.drain_view().ok_or(Refusal::NeverDrained)?;
    let watch = Watch {
        relay: office.relay.clone(),
        told: None,
        ended: false,
    };
    let lines = futures_util::stream::unfold(watch, async |mut watch| {
        let view = watch.next().await?;
        let mut line = serde_json::to_vec(&view).unwrap_or_default();
        line.push(b'\n');
        Some((Ok::<_, Infallible>(line), watch))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

struct Watch {
    relay: Relay,
    told: Option<(Drain, Instant)>,
    ended: bool,
}

impl Watch {
    async fn next(&mut self) -> Option<Drain> {
        if self.ended {
            return None;
        }
        loop {
            let view = self.relay.drain_view()?;
            let news = match &self.told {
                None => true,
                Some((told, at)) => {
                    (told.phase, told.left()) != (view.phase, view.left()) || at.elapsed() >= EVERY
                }
            };
            if news {
                self.ended = view.phase != DrainPhase::Draining;
                self.told = Some((view.clone(), Instant::now()));
                return Some(view);
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
