//! Asks every origin of a route whether it is well, until the route is replaced. Decides nothing: `origin` does.

use std::sync::Arc;

use http_body_util::Full;
use hyper::header::{HOST, HeaderValue, USER_AGENT};
use hyper::http::uri::PathAndQuery;
use hyper::{Request, StatusCode};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::table::Route;
use crate::config::HostHeader;
use crate::https::Https;

/// Origins of a route that has a path to ask for.
pub fn check(route: &Arc<Route>, checks: &mut JoinSet<()>, runtime: &Handle) {
    let path = route.config.health_path.as_deref();
    let Some(path) = path.and_then(|path| path.parse::<PathAndQuery>().ok()) else {
        return;
    };
    // The route's own connections have been made with the same.
    let client = Route::roots(&route.config).ok();
    let Some(client) = client.and_then(|roots| Https::trusting(roots).ok()) else {
        return;
    };
    for index in 0..route.origins.all().len() {
        let checking = again_and_again(Arc::clone(route), index, path.clone(), client.clone());
        checks.spawn_on(checking, runtime);
    }
}

async fn again_and_again(route: Arc<Route>, index: usize, path: PathAndQuery, client: Https) {
    let origin = &route.origins.all()[index];
    let patience = route.config.connect_timeout + route.config.response_timeout;
    loop {
        let mut request = Request::new(Full::default());
        *request.uri_mut() = origin.with_path(Some(&path));
        let named = route
            .config
            .host
            .as_deref()
            .filter(|host| !host.contains('*'));
        let host = match route.config.host_header {
            HostHeader::Client => named,
            HostHeader::Origin => None,
        };
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, HeaderValue::from_static("relay-health"));
        if let Some(host) = host.and_then(|host| HeaderValue::from_str(host).ok()) {
            headers.insert(HOST, host);
        }
        let answer = client.ask(request, patience).await;
        let good = matches!(&answer, Ok((status, _)) if *status < StatusCode::BAD_REQUEST);
        if origin.checked(good) {
            let (origin, route) = (&origin.name, route.config.name());
            match answer {
                _ if good => tracing::info!(%origin, %route, "healthy"),
                Ok((status, _)) => tracing::warn!(%origin, %route, %status, "not healthy"),
                Err(error) => tracing::warn!(%origin, %route, %error, "not healthy"),
            }
        }
        tokio::time::sleep(route.config.health_interval).await;
    }
}
