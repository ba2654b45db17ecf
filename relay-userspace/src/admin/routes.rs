//! Routes of the admin socket. Each reads its request, asks the relay, answers; nothing is decided here.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::routing::{delete, get, post};
use axum::{Extension, Router, response::IntoResponse};
use futures_util::future::BoxFuture;

use super::refusal::Refusal;
use super::{bearer, drain, events, ice, request};
use crate::api::{
    Change, Count, CredentialsRequest, ForwardRequest, ForwardView, IceServer, KillRequest, Killed,
    LimitRequest, LimitsView, Reloaded, Session, SessionId, StatusReport, User,
};
use crate::jwt::Claims;
use crate::relay::Relay;

/// The largest body that means something is a forward with a long allow list.
const BODY_LIMIT: usize = 64 * 1024;

pub type Answer<T> = Result<Json<T>, Refusal>;
pub type Asked = State<Arc<Office>>;

/// What the routes answer from.
pub struct Office {
    pub relay: Relay,
    pub admin_socket: String,
    pub metrics: Option<std::net::SocketAddr>,
    pub warnings: Vec<String>,
    /// Reads again what can change while the relay runs.
    pub reload: Reload,
}

/// What changed, or why nothing did.
pub type Reload = Box<dyn Fn() -> BoxFuture<'static, Result<Reloaded, String>> + Send + Sync>;

pub fn router(office: Office) -> Router {
    let office = Arc::new(office);
    Router::new()
        .route("/v1/status", get(status))
        .route("/v1/sessions", get(sessions).delete(kill_of))
        .route("/v1/events", get(events::follow))
        .route("/v1/sessions/{id}", get(session).delete(kill))
        .route("/v1/forwards", get(forwards).post(forward_add))
        .route("/v1/forwards/{name}", delete(forward_remove))
        .route("/v1/users", get(users))
        .route("/v1/limits", get(limits).put(limit_set))
        .route("/v1/credentials", post(credentials))
        .route("/v1/counters", get(counters))
        .route("/v1/reload", post(reload))
        .route(
            "/v1/drain",
            get(drain::show).post(drain::begin).delete(drain::cancel),
        )
        .route("/v1/drain/progress", get(drain::follow))
        .fallback(async || Refusal::NoRoute)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(Arc::clone(&office), bearer::judge))
        .with_state(office)
}

async fn status(State(office): Asked) -> Json<StatusReport> {
    Json(StatusReport {
        status: office.relay.status(),
        admin_socket: office.admin_socket.clone(),
        metrics: office.metrics,
        warnings: office.warnings.clone(),
    })
}

async fn sessions(State(office): Asked) -> Json<Vec<Session>> {
    Json(office.relay.sessions().await)
}

async fn users(State(office): Asked) -> Json<Vec<User>> {
    Json(office.relay.users().await)
}

async fn session(
    State(office): Asked,
    id: Result<Path<SessionId>, PathRejection>,
) -> Answer<Session> {
    let Path(id) = id?;
    let found = office.relay.session(id).await;
    found.map(Json).ok_or_else(|| no_session(id))
}

async fn kill(
    State(office): Asked,
    id: Result<Path<SessionId>, PathRejection>,
) -> Result<StatusCode, Refusal> {
    let Path(id) = id?;
    match office.relay.kill(id).await {
        true => Ok(StatusCode::NO_CONTENT),
        false => Err(no_session(id)),
    }
}

/// Of one TURN user or forward; never of all, for want of a name.
async fn kill_of(
    State(office): Asked,
    of: Result<Query<KillRequest>, QueryRejection>,
) -> Answer<Killed> {
    let Query(KillRequest { user }) = of?;
    let ended = office.relay.kill_of(&user).await;
    if ended == 0 {
        return Err(Refusal::NotFound {
            kind: "session of",
            id: user,
            list: "relay session list",
        });
    }
    tracing::info!(%user, ended, "sessions ended");
    Ok(Json(Killed { ended }))
}

fn no_session(id: SessionId) -> Refusal {
    Refusal::NotFound {
        kind: "session",
        id: id.to_string(),
        list: "relay session list",
    }
}

async fn forwards(State(office): Asked) -> Json<Vec<ForwardView>> {
    Json(office.relay.forwards().await)
}

async fn forward_add(
    State(office): Asked,
    body: Result<Json<ForwardRequest>, JsonRejection>,
) -> Result<impl IntoResponse, Refusal> {
    let forward = request::forward(body?.0)?;
    let view = office.relay.forward_add(forward).await?;
    tracing::info!(name = %view.name, listen = %view.listen, to = %view.to, "forward added");
    Ok((StatusCode::CREATED, Json(view)))
}

async fn forward_remove(
    State(office): Asked,
    Path(name): Path<String>,
) -> Result<StatusCode, Refusal> {
    if office.relay.forward_remove(&name).await {
        tracing::info!(%name, "forward removed");
        return Ok(StatusCode::NO_CONTENT);
    }
    Err(Refusal::NotFound {
        kind: "forward",
        id: name,
        list: "relay forward list",
    })
}

async fn limits(State(office): Asked) -> Json<LimitsView> {
    Json(office.relay.limits())
}

async fn limit_set(
    State(office): Asked,
    body: Result<Json<LimitRequest>, JsonRejection>,
) -> Answer<LimitsView> {
    let request = request::limit(body?.0)?;
    let of = request.of.clone();
    match (office.relay.set_limit(request).await, of) {
        (false, Change::Session(id)) => Err(no_session(id)),
        (_, of) => {
            tracing::info!(?of, "limit changed");
            Ok(Json(office.relay.limits()))
        }
    }
}

async fn credentials(
    State(office): Asked,
    claims: Option<Extension<Claims>>,
    body: Result<Json<CredentialsRequest>, JsonRejection>,
) -> Answer<Vec<IceServer>> {
    let wish = body?.0;
    if let Some(Extension(claims)) = claims {
        bearer::may_mint(&claims, &wish)?;
    }
    let (said_host, said_port) = request::credentials(&wish)?;
    let reach = ice::advertised(&office.relay.status()).but(said_host, said_port);
    let wish = ice::Wish {
        user: &wish.user,
        ttl: Duration::from_secs(wish.ttl_seconds),
        unix_now: unix_now(),
    };
    let servers = ice::servers(&office.relay.credentials(), wish, &reach);
    servers.map(Json).ok_or(Refusal::NoSecret)
}

async fn reload(State(office): Asked) -> Answer<Reloaded> {
    let done = (office.reload)().await;
    done.map(Json).map_err(Refusal::NotReloaded)
}

async fn counters(State(office): Asked) -> Json<Vec<Count>> {
    let samples = office.relay.counters().await.into_iter();
    let count = samples.map(|sample| Count {
        name: sample.name,
        labels: sample
            .labels
            .into_iter()
            .map(|(k, v)| (k.to_owned(), v))
            .collect(),
        value: sample.value,
    });
    Json(count.collect())
}

pub fn unix_now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |passed| passed.as_secs())
}
