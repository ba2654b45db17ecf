//! One request to an origin of its route and the answer back, byte for byte as they come. Keeps nothing, follows no
//! redirect, and connects to nothing but what the route lists.

mod attempt;
mod tunnel;
pub mod websocket;

use std::sync::Arc;

use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming};
use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, ORIGIN, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::upgrade::OnUpgrade;
use hyper::{Method, Response, StatusCode, Version};

use super::body::{Body, Download, Fate, Lent, Upload};
use super::fault::Fault;
use super::hygiene;
use super::record::Record;
use super::table::Route;
use super::target::Target;
use crate::config::HostHeader;
use attempt::Attempt;
use websocket::Handshake;

/// A request and where it is from.
pub struct Exchange<'a> {
    pub route: &'a Arc<Route>,
    /// On whose thread.
    pub worker: usize,
    pub target: &'a Target,
    pub client: hygiene::Client<'a>,
    pub record: Record,
}

/// `upgrade`: of the client's connection, should it become a WebSocket.
pub async fn exchange(
    mut exchange: Exchange<'_>,
    parts: Parts,
    body: Incoming,
    upgrade: OnUpgrade,
) -> Response<Body> {
    match answer(&mut exchange, parts, body).await {
        Ok((response, handshake)) => match handshake {
            Some(handshake) if response.status() == StatusCode::SWITCHING_PROTOCOLS => {
                websocket::open(exchange, handshake, upgrade, response)
            }
            _ => pass_on(exchange, response),
        },
        Err(fault) => {
            exchange.record.refused(fault);
            fault.response()
        }
    }
}

async fn answer(
    exchange: &mut Exchange<'_>,
    mut parts: Parts,
    body: Incoming,
) -> Result<(Response<Incoming>, Option<Handshake>), Fault> {
    let route = exchange.route;
    let place = route.enter(exchange.record.client());
    exchange.record.holds.1 = Some(place.map_err(|_| Fault::Full)?);
    page_may_ask(route, &parts)?;
    let handshake = websocket::wanted(&parts)?;
    let (body, fate) = upload(route, &parts, body)?;
    exchange.record.uploads(&fate);
    hygiene::for_origin(&mut parts.headers, exchange.client);
    let length = body.size_hint().exact().filter(|_| handshake.is_none());
    hygiene::one_length(&mut parts.headers, length);
    if let Some(handshake) = &handshake {
        handshake.ask(&mut parts);
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let attempt = Attempt {
        route,
        client: &route.clients[exchange.worker],
        body: &body,
        fate: &fate,
    };
    let response = send(exchange, attempt, parts).await?;
    let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if switched
        && handshake
            .as_ref()
            .is_none_or(|one| !one.is_answered(&response))
    {
        return Err(Fault::BadAnswer);
    }
    Ok((response, handshake))
}

/// Goes on to another origin when one cannot be reached, or broke off at something that may be asked twice.
async fn send(
    exchange: &mut Exchange<'_>,
    attempt: Attempt<'_>,
    mut parts: Parts,
) -> Result<Response<Incoming>, Fault> {
    let route = exchange.route;
    let repeatable = parts.method.is_idempotent() && attempt.body.is_end_stream();
    let path = parts.uri.path_and_query().cloned();
    let mut tried = Vec::new();
    let mut last = None;
    while let Ok((index, origin)) = route.origins.pick(&tried) {
        if last.is_some() {
            let retries = &exchange.record.counts().retries;
            retries.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        }
        parts.uri = origin.with_path(path.as_ref());
        let host = match route.config.host_header {
            HostHeader::Client => Some(exchange.target.authority.as_str()),
            HostHeader::Origin => origin.uri.authority().map(|own| own.as_str()),
        };
        let host = host.and_then(|host| HeaderValue::from_str(host).ok());
        parts
            .headers
            .insert(HOST, host.ok_or(Fault::Host("Host is not a host"))?);
        let fault = match attempt.send(parts.clone()).await {
            Ok(response) => {
                exchange.record.answered_by(&origin.name, response.status());
                return Ok(response);
            }
            Err(fault) => fault,
        };
        tracing::debug!(origin = %origin.name, %fault, "an origin");
        let unsent = matches!(fault, Fault::Unreachable | Fault::ConnectTimeout);
        if unsent {
            route.origins.pause(index);
        }
        let again = unsent && !attempt.fate.touched() || fault == Fault::Reset && repeatable;
        if !again {
            return Err(fault);
        }
        tried.push(index);
        last = Some(fault);
    }
    Err(last.unwrap_or(Fault::NoneHealthy))
}

/// A browser says which page asks; others need not.
fn page_may_ask(route: &Route, parts: &Parts) -> Result<(), Fault> {
    let allowed = &route.config.allow_origins;
    let Some(page) = parts.headers.get(ORIGIN).filter(|_| !allowed.is_empty()) else {
        return Ok(());
    };
    match allowed.iter().any(|one| one.as_bytes() == page.as_bytes()) {
        true => Ok(()),
        false => Err(Fault::ForeignPage),
    }
}

fn upload(route: &Route, parts: &Parts, body: Incoming) -> Result<(Lent, Arc<Fate>), Fault> {
    let fate = Arc::new(Fate::default());
    // The way back of a WebSocket over h2 is no body.
    if body.is_end_stream() || parts.method == Method::CONNECT {
        return Ok((Lent::default(), fate));
    }
    let most = route.config.max_body_bytes;
    let said = parts.headers.get(CONTENT_LENGTH);
    let said = said.and_then(|said| said.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|said| said > most) {
        return Err(Fault::TooLarge(most));
    }
    let patience = route.config.idle_timeout;
    let upload = Upload::new(body, most, patience, Arc::clone(&fate));
    Ok((Lent::new(upload), fate))
}

fn pass_on(exchange: Exchange<'_>, response: Response<Incoming>) -> Response<Body> {
    let patience = exchange.route.config.idle_timeout;
    let (mut parts, body) = response.into_parts();
    if parts.headers.contains_key(TRANSFER_ENCODING) {
        // RFC 9112 §6.1: of a length beside chunks the chunks count.
        parts.headers.remove(CONTENT_LENGTH);
    }
    hygiene::strip(&mut parts.headers);
    parts.extensions.clear();
    parts.version = Version::HTTP_11;
    let body = Download::new(body, patience, exchange.record);
    Response::from_parts(parts, body.boxed_unsync())
}
