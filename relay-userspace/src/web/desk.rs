//! Where every request comes first: whom it is from, whether it is clear what it asks, and who answers it.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use hyper::body::Incoming;
use hyper::header::HeaderMap;
use hyper::http::request::Parts;
use hyper::{Request, Response};
use ipnet::IpNet;
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::api::{Api, Authority};
use super::body::Body;
use super::check::{self, Echo};
use super::connection::{Asker, Busy};
use super::counts::Counts;
use super::fault::Fault;
use super::health;
use super::hygiene::Client;
use super::proxy::{self, Exchange};
use super::record::{Book, Record};
use super::sdk;
use super::table::{Route, Table, Unroutable};
use super::target::{self, Target};
use crate::config::{PublicApi, Signaling};
use crate::relay::Sample;
use crate::turn::Flood;

/// What is served now; one whole.
pub struct Served {
    pub signaling: Signaling,
    table: Table,
    api: Arc<Api>,
    book: Arc<Book>,
}

/// One for all workers.
pub struct Web {
    served: RwLock<Arc<Served>>,
    counts: Arc<Counts>,
    echo: Echo,
    workers: usize,
    /// Health checks of the routes; ended when others take their place.
    checks: Mutex<JoinSet<()>>,
    runtime: Handle,
}

/// Made, and not in use yet: nothing of it can fail any more.
pub struct Next(Served);

impl Web {
    /// Inside the runtime that is to check origins.
    pub fn new(
        signaling: &Signaling,
        api: &PublicApi,
        authority: Authority,
        workers: usize,
    ) -> Result<Arc<Web>, Unroutable> {
        let counts = Arc::new(Counts::default());
        let table = Table::new(&signaling.routes, workers, &Table::default())?;
        let echo = Echo::new(authority.seed);
        let api = Arc::new(Api::new(api, authority));
        let served = Served::new(signaling, table, api, &counts);
        let web = Arc::new(Web {
            served: RwLock::new(Arc::new(served)),
            counts,
            echo,
            workers,
            checks: Mutex::default(),
            runtime: Handle::current(),
        });
        web.check();
        Ok(web)
    }

    /// Reads what routes name; changes nothing.
    pub fn prepare(&self, signaling: &Signaling, api: &PublicApi) -> Result<Next, Unroutable> {
        let before = self.served();
        let table = Table::new(&signaling.routes, self.workers, &before.table)?;
        let api = Arc::new(before.api.with(api));
        Ok(Next(Served::new(signaling, table, api, &self.counts)))
    }

    /// For every request from now on; those under way end as they began.
    pub fn adopt(&self, next: Next) {
        *self.served.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(next.0);
        self.check();
    }

    /// For every request from now on.
    pub fn adopt_authority(&self, change: impl FnOnce(&Authority) -> Authority) {
        self.served().api.adopt(change);
    }

    pub fn counts(&self) -> &Arc<Counts> {
        &self.counts
    }

    pub fn served(&self) -> Arc<Served> {
        let served = self.served.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&served)
    }

    pub fn samples(&self) -> Vec<Sample> {
        let mut samples = self.counts.samples();
        for route in self.served().table.routes() {
            samples.extend(route.origins.all().iter().map(|origin| {
                Sample::gauge("signaling_origin_healthy", u64::from(origin.is_healthy()))
                    .label("route", route.config.name())
                    .label("origin", &*origin.name)
            }));
        }
        samples
    }

    fn check(&self) {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        *checks = JoinSet::new();
        for route in self.served().table.routes() {
            health::check(route, &mut checks, &self.runtime);
        }
    }

    /// `busy`: while the request is under way its connection is.
    pub async fn answer(
        &self,
        worker: usize,
        asker: Asker,
        busy: Busy,
        mut request: Request<Incoming>,
    ) -> Response<Body> {
        let served = self.served();
        let upgrade = hyper::upgrade::on(&mut request);
        let (parts, body) = request.into_parts();
        let trusted = &served.signaling.trusted_proxies;
        let client = client(asker.client.ip(), &parts.headers, trusted);
        let begin = |parts: &Parts, busy: Busy| {
            let mut record = Record::new(
                &served.book,
                client,
                parts.method.clone(),
                parts.uri.clone(),
            );
            record.holds.0 = Some(busy);
            record
        };
        let target = match target::read(&parts) {
            Ok(target) => target,
            Err(fault) => return refuse(begin(&parts, busy), fault),
        };
        let may = asker.secure || served.signaling.allow_plain;
        if may && served.api.serves(&target.host, parts.uri.path()) {
            let (response, what) = served.api.answer(client, &target, parts, body).await;
            self.counts.api(what, response.status().as_u16());
            return response;
        }
        let here = may && served.api.is_at(&target.host);
        if here && let Some(response) = sdk::answer(&parts) {
            self.counts.api("sdk", response.status().as_u16());
            return response;
        }
        let here = here && served.api.checks();
        if here && parts.uri.path() == check::ECHO {
            let response = self.echo.answer(client, &parts, upgrade, busy);
            self.counts.api("echo", response.status().as_u16());
            return response;
        }
        if here && let Some(response) = check::answer(&parts) {
            self.counts.api("check", response.status().as_u16());
            return response;
        }
        let mut record = begin(&parts, busy);
        record.of_host(&target.host);
        let route = match served.route(&target, parts.uri.path()) {
            Ok(route) if may => route,
            Ok(_) => return refuse(record, Fault::Plain),
            Err(fault) => return refuse(record, fault),
        };
        let authority = target.authority.clone();
        let exchange = Exchange {
            route,
            worker,
            target: &target,
            client: Client {
                address: asker.client.ip(),
                secure: asker.secure,
                authority: authority.as_str(),
                trusted: is_of(asker.client.ip(), trusted),
            },
            record,
        };
        proxy::exchange(exchange, parts, body, upgrade).await
    }
}

impl Served {
    fn new(signaling: &Signaling, table: Table, api: Arc<Api>, counts: &Arc<Counts>) -> Served {
        let lines = signaling.access_log_per_second;
        let log = (lines > 0).then(|| Flood::of_all(lines, [0; 32]));
        let counts = Arc::clone(counts);
        Served {
            signaling: signaling.clone(),
            table,
            api,
            book: Arc::new(Book { counts, log }),
        }
    }

    /// Where origins could read the path in another way, that has to lead to the same route.
    fn route(&self, target: &Target, path: &str) -> Result<&Arc<Route>, Fault> {
        let found = self.table.find(&target.host, path).ok_or(Fault::NoRoute)?;
        let Some(lenient) = &target.lenient else {
            return Ok(found);
        };
        let other = self.table.find(&target.host, lenient);
        match other.is_some_and(|other| Arc::ptr_eq(other, found)) {
            true => Ok(found),
            false => Err(Fault::Path("without its escapes it is of another route")),
        }
    }
}

fn refuse(mut record: Record, fault: Fault) -> Response<Body> {
    record.refused(fault);
    fault.response()
}

/// Who is behind the balancers, as the last of them that is trusted says.
fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    if !is_of(peer, trusted) {
        return peer;
    }
    let said = headers.get_all("x-forwarded-for").iter();
    let said: Vec<_> = said
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|one| one.trim().parse::<IpAddr>())
        .collect();
    let mut nearest = peer;
    for one in said.into_iter().rev() {
        let Ok(address) = one else { break };
        nearest = address;
        if !is_of(address, trusted) {
            break;
        }
    }
    nearest
}

fn is_of(address: IpAddr, nets: &[IpNet]) -> bool {
    nets.iter().any(|net| net.contains(&address))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_client_is_known_by_the_last_address_no_balancer_of_ours_has() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let known = |peer: &str, said: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for one in said {
                headers.append("x-forwarded-for", HeaderValue::from_static(one));
            }
            client(peer.parse().unwrap(), &headers, &trusted).to_string()
        };
        assert_eq!(known("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(known("10.0.0.1", &[]), "10.0.0.1");
        assert_eq!(
            known("10.0.0.1", &["198.51.100.1, 10.0.0.2"]),
            "198.51.100.1"
        );
        assert_eq!(
            known("10.0.0.1", &["203.0.113.9", "198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(known("10.0.0.1", &["198.51.100.1, nonsense"]), "10.0.0.1");
    }
}
