//! The running relay as one handle: start it, ask it, change its forwards, end it. Relays nothing itself.

mod start;

mod adopt;
mod doors;
mod drain;
mod forwards;
mod heritage;
mod listen;
mod streams;
mod users;
mod workers;

mod ending;
mod error;
mod likely;
pub mod sample;

use std::net::SocketAddr;
use std::sync::{Arc, RwLock};
use std::time::Instant;

use futures_util::future::try_join_all;
use tokio::task::AbortHandle;

use drain::Drain;
pub use drain::{NotCancelled, Order as DrainOrder};
pub use error::{ForwardError, StartError};
use forwards::{Forwards, Unresolved};
pub use sample::{Kind, Sample};
use workers::Workers;

use crate::api;
use crate::config::{self, Config, Forward};
use crate::credentials::Credentials;
use crate::events::Bus;
use crate::events::webhook::{self, Webhooks};
use crate::journal::{Entry, GivenLimit, Key};
use crate::jwt::Verifier;
use crate::net::control::Request;
use crate::net::shared::Shared;
use crate::net::stats::{self, Stat};
use crate::tls::{CertificateFiles, TlsFault};
use crate::turn;

/// A cheap handle to everything that runs.
#[derive(Clone)]
pub struct Relay {
    inner: Arc<Inner>,
}

struct Inner {
    started: Instant,
    listen: Vec<SocketAddr>,
    listen_tcp: Vec<SocketAddr>,
    listen_tls: Vec<SocketAddr>,
    /// Default ports that could not be had, and why.
    not_listening: Vec<String>,
    /// As they were found.
    cards: Vec<api::Card>,
    shield: config::Shield,
    shared: Arc<Shared>,
    turn: Arc<turn::Shared>,
    credentials: RwLock<Arc<Credentials>>,
    verifier: RwLock<Option<Arc<Verifier>>>,
    workers: Arc<Workers>,
    forwards: Forwards,
    tasks: [AbortHandle; 3],
    drain: Drain,
    webhooks: tokio::sync::Mutex<Webhooks>,
    webhook_counts: Arc<webhook::Counts>,
}

impl Relay {
    /// Binds everything, then starts the workers. Inside a tokio runtime: names are resolved on it.
    pub async fn start(config: Config) -> Result<Relay, StartError> {
        let (relay, inherited) = start::start(&config).await?;
        // All at once: a name server that does not answer is waited for once, not once for each.
        let added = try_join_all(config.forwards.into_iter().map(async |forward| {
            let name = forward.name.clone();
            let adding = relay.inner.forwards.add(forward, Unresolved::KeepTrying);
            adding
                .await
                .map_err(|source| StartError::Forward { name, source })
        }));
        if let Err(error) = added.await {
            relay.shutdown().await;
            return Err(error);
        }
        for forward in inherited.forwards {
            relay.inherit(forward).await;
        }
        for id in relay.inner.forwards.lapsed() {
            relay.forget(Key::Session(id));
        }
        let police = &relay.inner.shared.police;
        let limits = inherited.limits.iter();
        limits
            .filter_map(|given| given.lapsed(police))
            .for_each(|key| relay.forget(key));
        relay.inner.shared.pool.heirs_are_done();
        relay.inner.shared.fastpath.restored();
        Ok(relay)
    }

    pub fn status(&self) -> api::Status {
        let Inner {
            shared, workers, ..
        } = &*self.inner;
        let gauges = shared.fastpath.gauges();
        api::Status {
            version: env!("CARGO_PKG_VERSION").to_string(),
            pid: std::process::id(),
            uptime_seconds: self.inner.started.elapsed().as_secs(),
            listen: self.inner.listen.clone(),
            listen_tcp: self.inner.listen_tcp.clone(),
            listen_tls: self.inner.listen_tls.clone(),
            not_listening: self.inner.not_listening.clone(),
            relay_addresses: shared.addresses.known(),
            advertised: shared.addresses.advertise.pairs().to_vec(),
            cards: (shared.fastpath.cards()).unwrap_or_else(|| self.inner.cards.clone()),
            kernel_off: shared.fastpath.why_off(),
            shield: self.shield(gauges.known),
            draining: self.drain_view(),
            workers: workers.count(),
            allocations: workers.total(Stat::Allocations),
            forwards: self.inner.forwards.count(),
            sessions: workers.total(Stat::ChannelSessions) + workers.total(Stat::ForwardSessions),
            kernel_sessions: gauges.installed,
            kernel_capacity: gauges.capacity,
            kernel: gauges.traffic,
            userspace: api::Traffic {
                packets: workers.total(Stat::PacketsToPeer) + workers.total(Stat::PacketsToClient),
                bytes: workers.total(Stat::BytesToPeer) + workers.total(Stat::BytesToClient),
            },
        }
    }

    fn shield(&self, known: u64) -> api::Shield {
        let fastpath = &self.inner.shared.fastpath;
        let runs_in = match (self.inner.shield.enabled, fastpath.why_off()) {
            (false, _) => "off",
            (true, None) => "kernel",
            (true, Some(_)) => "userspace",
        };
        let verdicts = fastpath.counters().into_iter();
        let drops = verdicts.filter(|(name, _)| name.starts_with("shield_"));
        api::Shield {
            runs_in: runs_in.to_owned(),
            known,
            dropped: drops.map(|(_, count)| count).sum(),
        }
    }

    /// By id, which is by age within a worker.
    pub async fn sessions(&self) -> Vec<api::Session> {
        let mut rows: Vec<_> = self
            .inner
            .workers
            .ask(Request::Sessions)
            .await
            .into_iter()
            .flatten()
            .collect();
        rows.sort_by_key(|row| row.id);
        let verdicts = self.inner.shared.fastpath.counters();
        for row in &mut rows {
            likely::annotate(row, &verdicts);
        }
        rows
    }

    pub async fn session(&self, id: api::SessionId) -> Option<api::Session> {
        self.sessions()
            .await
            .into_iter()
            .find(|session| session.id == id)
    }

    /// Ends a session for good: of a TURN session its whole allocation, of a forward that session.
    pub async fn kill(&self, id: api::SessionId) -> bool {
        let answers = self
            .inner
            .workers
            .ask(|reply| Request::Kill(id, reply))
            .await;
        self.settle().await;
        answers.contains(&true)
    }

    /// Everything of this TURN user or forward. How many allocations and sessions of forwards that were.
    pub async fn kill_of(&self, name: &str) -> u64 {
        let killed = self
            .inner
            .workers
            .ask(|reply| Request::KillOf(name.to_owned(), reply))
            .await;
        self.settle().await;
        killed.into_iter().sum::<usize>() as u64
    }

    pub fn events(&self) -> &Arc<Bus> {
        &self.inner.shared.events
    }

    /// What is limited, and for whom.
    pub fn limits(&self) -> api::LimitsView {
        let police = &self.inner.shared.police;
        let limits = police.limits();
        let running = police.users();
        let idle = limits
            .users
            .iter()
            .filter(|(name, _)| !running.iter().any(|one| one.user == **name))
            .map(|(name, limit)| (name.clone(), *limit, [0; 2]));
        let running = running
            .iter()
            .map(|one| (one.user.clone(), one.limit, one.dropped));
        let mut users: Vec<_> = running
            .chain(idle)
            .map(|(user, limit, dropped)| api::UserLimit {
                user,
                limit,
                dropped: dropped.into(),
            })
            .collect();
        users.sort_by(|a, b| a.user.cmp(&b.user));
        api::LimitsView {
            session: limits.session,
            user: limits.user,
            burst_ms: u64::try_from(limits.burst.as_millis()).unwrap_or(u64::MAX),
            users,
        }
    }

    /// Takes effect on what runs, in the kernel and in userspace, before it returns, and outlives this process.
    /// False: no such session.
    pub async fn set_limit(&self, request: api::LimitRequest) -> bool {
        let Inner { shared, .. } = &*self.inner;
        let api::LimitRequest { of, limit } = request;
        let changed = shared.police.change(of.clone(), limit);
        shared.fastpath.limits_changed();
        if changed {
            self.keep(Entry::Limit(GivenLimit { of, limit }));
            self.settle().await;
        }
        changed
    }

    /// Resolves, checks and binds, then relays. A second forward of the same name is refused.
    pub async fn forward_add(&self, forward: Forward) -> Result<api::ForwardView, ForwardError> {
        let view = self
            .inner
            .forwards
            .add(forward.clone(), Unresolved::Refuse)
            .await?;
        self.keep(Entry::Forward(Forward {
            listen: view.listen,
            ..forward
        }));
        self.settle().await;
        Ok(view)
    }

    /// Ends the forward and all of its sessions. False: no forward has that name.
    pub async fn forward_remove(&self, name: &str) -> bool {
        self.forget(Key::Forward(name.to_owned()));
        let removed = self.inner.forwards.remove(name).await;
        self.settle().await;
        removed
    }

    pub async fn forwards(&self) -> Vec<api::ForwardView> {
        self.inner.forwards.views().await
    }

    /// Reads the certificates' files again. All are good, or nothing changes. Returns how many there are.
    pub fn reload_certificates(&self) -> Result<usize, TlsFault> {
        self.inner.shared.streams.tls.reload()
    }

    /// The same from these files.
    pub fn replace_certificates(&self, files: &[CertificateFiles]) -> Result<usize, TlsFault> {
        self.inner.shared.streams.tls.replace(files)
    }

    /// Everything counted, for `/metrics`: the names are described in [`sample::DESCRIPTIONS`], `net::stats`,
    /// `turn::Counter` and `relay_common::Counter`.
    pub async fn counters(&self) -> Vec<Sample> {
        let Inner {
            shared, workers, ..
        } = &*self.inner;
        let mut samples = stats::samples(workers.stats());
        samples.extend(sample::of_turn(&workers.ask(Request::TurnCounters).await));
        samples.extend(sample::of_fastpath(&shared.fastpath));
        samples.extend(sample::of_hook(shared.hook().as_ref()));
        samples.extend(sample::of_events(shared.events.gauges()));
        samples.extend(shared.streams.web.samples());
        samples.extend(sample::of_webhooks(&self.inner.webhook_counts));
        samples.push(Sample::gauge("ports_in_use", shared.pool.in_use()));
        samples.push(Sample::gauge("ports_configured", shared.pool.size()));
        samples.push(Sample::gauge("forwards", self.inner.forwards.count()));
        samples.push(Sample::gauge("workers", workers.count() as u64));
        let draining = u64::from(shared.admission.is_closed());
        samples.push(Sample::gauge("draining", draining));
        samples
    }

    /// Adds a forward that an operator added to an earlier process.
    async fn inherit(&self, forward: Forward) {
        let name = forward.name.clone();
        let added = self.inner.forwards.add(forward, Unresolved::KeepTrying);
        if let Err(error) = added.await {
            tracing::warn!(%error, name, "a forward of the last process does not go on");
            self.forget(Key::Forward(name));
        }
    }

    /// Only what an operator says while the relay runs: the rest is in the configuration.
    fn keep(&self, entry: Entry) {
        if let Some(journal) = &self.inner.shared.journal {
            journal.keep(entry);
        }
    }

    fn forget(&self, key: Key) {
        if let Some(journal) = &self.inner.shared.journal {
            journal.forget(key);
        }
    }

    /// Returns when the next process would know everything so far.
    async fn settle(&self) {
        if let Some(journal) = &self.inner.shared.journal {
            journal.settled().await;
        }
    }
}
