//! The routes, by host and path prefix, each with its origins and each worker's connections to them. Replaced whole.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use rustls::RootCertStore;

use super::body::Lent;
use super::local::Local;
use super::origin::Origins;
use crate::config;
use crate::https::{Untrusting, authorities, client_config};
use crate::net::stream::gate::{Full, Gate, Place, Places};

/// Of one worker: its connections are served on its thread.
pub type OriginClient = Client<HttpsConnector<HttpConnector>, Lent>;

/// Of all requests of a route, what the clients of one /24 or /48 may have under way: nobody alone takes it from others.
const PART_OF_ONE_PREFIX: usize = 4;
/// Of an answer that its client does not read, and of the head of any answer. hyper's own default is 400 KiB.
const READ_BUFFER: usize = 64 << 10;

/// Why routes cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum Unroutable {
    #[error("ca_file: {0}: with signaling.route.ca_file")]
    Authorities(#[from] Untrusting),
    #[error("{0}")]
    Tls(#[from] rustls::Error),
}

#[derive(Debug)]
pub struct Route {
    pub config: config::Route,
    pub origins: Origins,
    /// By worker.
    pub clients: Vec<OriginClient>,
    /// Requests under way.
    places: Arc<Gate>,
}

/// The most particular route first.
#[derive(Debug, Default)]
pub struct Table {
    routes: Vec<Arc<Route>>,
}

impl Table {
    /// A route that is as it was in `before` goes on, with its connections.
    pub fn new(
        wanted: &[config::Route],
        workers: usize,
        before: &Table,
    ) -> Result<Table, Unroutable> {
        let one = |config: &config::Route| match before.same(config) {
            Some(route) => Ok(route),
            None => Route::new(config.clone(), workers).map(Arc::new),
        };
        let mut routes: Vec<_> = wanted.iter().map(one).collect::<Result<_, _>>()?;
        routes.sort_by_key(|route| std::cmp::Reverse(rank(&route.config)));
        Ok(Table { routes })
    }

    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// `host`: lower case, without port.
    pub fn find(&self, host: &str, path: &str) -> Option<&Arc<Route>> {
        let mut all = self.routes.iter();
        all.find(|route| of_host(&route.config, host) && below(&route.config.path, path))
    }

    fn same(&self, config: &config::Route) -> Option<Arc<Route>> {
        let mut all = self.routes.iter();
        // Its authorities may have changed: they are read again.
        let same = |route: &&Arc<Route>| route.config == *config && config.ca_file.is_none();
        all.find(same).cloned()
    }
}

impl Route {
    fn new(config: config::Route, workers: usize) -> Result<Route, Unroutable> {
        let roots = Self::roots(&config)?;
        let client = |_| client(&config, roots.clone());
        let clients = (0..workers).map(client).collect::<Result<_, _>>()?;
        let total = config.max_concurrent;
        let of_a_prefix = total.div_ceil(PART_OF_ONE_PREFIX);
        let places = Gate::of(Places {
            total,
            of_a_prefix: u32::try_from(of_a_prefix).unwrap_or(u32::MAX),
        });
        Ok(Route {
            origins: Origins::new(&config.origins),
            config,
            clients,
            places,
        })
    }

    /// One more request of this client is under way until the answer is dropped.
    pub fn enter(&self, client: IpAddr) -> Result<Place, Full> {
        let mut place = self.places.enter()?;
        place.of(client)?;
        Ok(place)
    }

    /// Whom its origins' certificates are from.
    pub fn roots(config: &config::Route) -> Result<RootCertStore, Untrusting> {
        let secure = |uri: &hyper::Uri| uri.scheme_str() == Some("https");
        match config.origins.iter().any(secure) {
            true => authorities(config.ca_file.as_deref().map(Path::new)),
            false => Ok(RootCertStore::empty()),
        }
    }
}

fn client(config: &config::Route, roots: RootCertStore) -> Result<OriginClient, rustls::Error> {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(config.connect_timeout));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(client_config(roots)?)
        .https_or_http()
        .enable_http1()
        .wrap_connector(connector);
    Ok(Client::builder(Local)
        .pool_timer(TokioTimer::new())
        .http1_max_buf_size(READ_BUFFER)
        .set_host(false)
        .build(connector))
}

/// A name before names below one before any, and long ones first.
fn rank(route: &config::Route) -> (u8, usize, usize) {
    let host = match route.host.as_deref() {
        None => (0, 0),
        Some(below) if below.starts_with("*.") => (1, below.len()),
        Some(name) => (2, name.len()),
    };
    (host.0, host.1, route.path.len())
}

fn of_host(route: &config::Route, host: &str) -> bool {
    match route.host.as_deref() {
        None => true,
        Some(wanted) => match wanted.strip_prefix('*') {
            Some(below) => host
                .strip_suffix(below)
                .is_some_and(|rest| !rest.is_empty()),
            None => host == wanted,
        },
    }
}

/// Whole segments.
fn below(prefix: &str, path: &str) -> bool {
    let Some(rest) = path.strip_prefix(prefix) else {
        return false;
    };
    prefix == "/" || rest.is_empty() || rest.starts_with('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routes(text: &str) -> Vec<config::Route> {
        config::read_text(text).unwrap().config.signaling.routes
    }

    #[test]
    fn the_most_particular_route_is_found_and_nothing_beside_it() {
        let wanted = routes(
            r#"
            [[signaling.route]]
            path = "/any"
            origins = ["http://127.0.0.1:1"]
            [[signaling.route]]
            host = "*.example.org"
            origins = ["http://127.0.0.1:2"]
            [[signaling.route]]
            host = "meet.example.org"
            path = "/api/"
            origins = ["http://127.0.0.1:3"]
            [[signaling.route]]
            host = "meet.example.org"
            path = "/api/v2"
            origins = ["http://127.0.0.1:4"]
            "#,
        );
        let table = Table::new(&wanted, 1, &Table::default()).unwrap();
        let port = |host, path| {
            let route = table.find(host, path)?;
            route.config.origins[0].port_u16()
        };
        for (host, path, expected) in [
            ("meet.example.org", "/api", Some(3)),
            ("meet.example.org", "/api/x", Some(3)),
            ("meet.example.org", "/api/v2/x", Some(4)),
            ("meet.example.org", "/api/v22", Some(3)),
            ("meet.example.org", "/apis", Some(2)),
            ("a.b.example.org", "/", Some(2)),
            ("example.org", "/", None),
            (".example.org", "/", None),
            ("evilexample.org", "/", None),
            ("other.example", "/any/x", Some(1)),
            ("other.example", "/", None),
        ] {
            assert_eq!(port(host, path), expected, "{host}{path}");
        }
    }

    #[test]
    fn a_route_that_did_not_change_goes_on() {
        let one = "[[signaling.route]]\nhost = \"a.example\"\norigins = [\"http://127.0.0.1:1\"]\n";
        let two = one.replace("a.example", "b.example");
        let before = Table::new(&routes(one), 1, &Table::default()).unwrap();
        let after = Table::new(&routes(&(one.to_owned() + &two)), 1, &before).unwrap();
        let [old, new] = [&before, &after].map(|table| table.find("a.example", "/").unwrap());
        assert!(Arc::ptr_eq(old, new));
        assert!(after.find("b.example", "/").is_some());
    }
}
