//! From a `Config` to a running relay: first everything that can fail for an operator's mistake, then the kernel, then
//! the threads. Serves nothing itself.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::num::NonZero;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::doors::Doors;
use super::drain::Drain;
use super::error::StartError;
use super::forwards::Forwards;
use super::heritage::{Heritage, Inheritance};
use super::listen::bind_for_workers;
use super::streams::streams;
use super::workers::Workers;
use super::{Inner, Relay};
use crate::admin::ice::Reach;
use crate::admission::Admission;
use crate::advertise::Advertise;
use crate::config::{Config, XdpMode};
use crate::credentials::Credentials;
use crate::events::webhook::Webhooks;
use crate::fastpath::FastPath;
use crate::hook::Hook;
use crate::jwt::Verifier;
use crate::net::addresses::{RelayAddresses, local_addresses};
use crate::net::ports::PortPool;
use crate::net::shared::Shared;
use crate::net::thread::{Plan, WorkerThread};
use crate::police::Police;
use crate::policy::PeerPolicy;
use crate::tls::Certificates;
use crate::turn::{self, Alternates, Ceilings, RelayFamilies, ServerConfig};
use crate::web::{self, Web};

/// How often ports of reservations nobody came for are looked for, and new addresses of the host.
const HOUSEKEEPING: Duration = Duration::from_secs(5);

/// Everything but the forwards, and those that an operator added to an earlier process.
pub async fn start(config: &Config) -> Result<(Relay, Inheritance), StartError> {
    let count = match config.workers {
        0 => std::thread::available_parallelism().map_or(1, NonZero::get),
        count => count,
    };
    raise_open_files();
    let addresses = relay_addresses(config)?;
    let (listen, listeners) = bind_listeners(config, count)?;
    let doors = Doors::open(&config.listen, count)?;
    let tls = Certificates::open(&config.tls.certificates)?;
    let pool = PortPool::new(config.relay.ports.clone());
    let all: Vec<_> = [&listen, &doors.tcp, &doors.tls]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    let policy = Arc::new(policy(config, &all, &pool));
    let seed = random()?;
    let mut heritage = Heritage::open(config, count, random()?);

    let (fastpath, cards) = FastPath::open(
        &config.kernel,
        &config.shield,
        &config.relay.ports,
        heritage.pins,
    );
    if config.kernel.xdp != XdpMode::Off {
        for card in cards.iter().filter(|card| card.mode == "none") {
            let reason = card.reason.as_deref().unwrap_or_default();
            tracing::warn!(card = card.name, reason, "no XDP on this card");
        }
    }
    fastpath.set_own_addresses(local_addresses());
    for address in &listen {
        fastpath.open_control_port(*address);
    }
    let remembered = &heritage.remembered;
    pool.keep_for_heirs(remembered.allocations.iter().map(|saved| saved.relayed));
    pool.keep_for_heirs(remembered.sessions.iter().map(|saved| saved.local));
    let police = Police::new(config.rates.clone(), fastpath.meters());
    remembered
        .limits
        .iter()
        .for_each(|given| given.apply(&police));
    let hook = config.auth.hook.as_ref();
    let hook = hook.map(|hook| Hook::new(hook, &config.auth.realm));
    let hook = hook.transpose()?;
    if let Some(hook) = &hook {
        let credentials = Credentials::new(&config.auth);
        let users = remembered.allocations.iter().map(|saved| &saved.username);
        hook.ask_about(users.map(|user| credentials.name_of(user)))
            .await;
    }
    let credentials = Arc::new(Credentials::new(&config.auth));
    let verifier = config.auth.jwt.as_ref().map(Verifier::new).map(Arc::new);
    let admission = Admission::default();
    let reach = Reach::of(String::new(), &listen, &doors.tcp, &doors.tls);
    let authority = web::Authority {
        credentials: Arc::clone(&credentials),
        verifier: verifier.clone(),
        reach,
        admission: admission.clone(),
        seed: random()?,
    };
    let web = Web::new(&config.signaling, &config.api, authority, count)?;
    let shared = Arc::new(Shared {
        police,
        fastpath: fastpath.clone(),
        pool,
        admission,
        addresses,
        journal: heritage.journal,
        streams: streams(config, tls, web, seed),
        events: Arc::default(),
        workers: OnceLock::new(),
        hook: RwLock::new(hook),
    });
    // Before the workers: they tell what they adopt.
    let webhooks = Webhooks::start(&config.events.webhooks, &shared.events)?;
    let turn = ServerConfig {
        credentials,
        policy: Arc::clone(&policy),
        limits: config.limits.clone(),
        strict_expiry: config.auth.strict_expiry,
        directory: (shared.hook()).map(|hook| Arc::clone(hook.directory())),
        shared: turn::Shared::new(&config.limits, &config.shield, seed),
        advertise: shared.addresses.advertise.clone(),
        relay_families: families(&shared.addresses, &all),
        admission: shared.admission.clone(),
        alternates: config.turn.alternates.as_slice().into(),
        mobility: config.turn.mobility,
        behavior: config.turn.behavior_discovery.map(Alternates::new),
        ids_after: heritage.remembered.last_id(),
        nonce_key: heritage.remembered.nonce_key,
        seed,
        worker_index: 0,
        // Forward sessions have the other half of the ids.
        worker_count: 2 * count,
    };
    turn.shared
        .set_ceilings(Ceilings::new(&config.limits, &config.auth));
    let mut restored = heritage.remembered.allocations_by_worker(count);
    let mut threads = Vec::with_capacity(count);
    let sockets = listeners.into_iter().zip(doors.listeners);
    for (index, (listeners, doors)) in sockets.enumerate() {
        let turn = ServerConfig {
            worker_index: index,
            seed: random()?,
            ..turn.clone()
        };
        let forward_ids = ((count + index) as u64, 2 * count as u64);
        let plan = Plan {
            index,
            shared: Arc::clone(&shared),
            turn,
            forward_ids,
            listeners,
            doors,
            restored: std::mem::take(&mut restored[index]),
        };
        match WorkerThread::start(plan).await {
            Ok(thread) => threads.push(thread),
            Err(source) => {
                fastpath.close();
                return Err(StartError::Worker { index, source });
            }
        }
    }
    let inboxes = threads.iter().map(|thread| thread.requests.downgrade());
    let set = shared.workers.set(inboxes.collect());
    debug_assert!(set.is_ok(), "set once");
    threads.iter_mut().for_each(WorkerThread::serve);
    let workers = Arc::new(Workers::new(threads));
    let keeping = housekeeping(
        Arc::clone(&shared.pool),
        Arc::clone(&policy),
        fastpath.clone(),
    );
    let forwards = Forwards::new(
        Arc::clone(&workers),
        fastpath,
        Arc::clone(&policy),
        shared.admission.clone(),
        heritage.remembered.sessions,
    );
    let drain = Drain::new(
        shared.admission.clone(),
        Arc::clone(&workers),
        Arc::clone(&shared.events),
    );
    let watching = shared.streams.tls.clone().watch();
    let tasks = [
        tokio::spawn(keeping).abort_handle(),
        tokio::spawn(watching).abort_handle(),
        tokio::spawn(shared.police.clone().share_out()).abort_handle(),
    ];
    let inner = Inner {
        started: Instant::now(),
        listen,
        listen_tcp: doors.tcp,
        listen_tls: doors.tls,
        not_listening: doors.closed,
        cards,
        shield: config.shield,
        shared,
        turn: turn.shared,
        credentials: RwLock::new(turn.credentials),
        verifier: RwLock::new(verifier),
        workers,
        forwards,
        drain,
        webhook_counts: webhooks.counts(),
        webhooks: tokio::sync::Mutex::new(webhooks),
        tasks,
    };
    let relay = Relay {
        inner: Arc::new(inner),
    };
    let inheritance = Inheritance {
        forwards: heritage.remembered.forwards,
        limits: heritage.remembered.limits,
    };
    Ok((relay, inheritance))
}

/// Every allocation and every forward session is a socket; the usual soft limit of 1024 is for programs that `select`.
fn raise_open_files() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

fn relay_addresses(config: &Config) -> Result<RelayAddresses, StartError> {
    let advertised = config.relay.advertise.iter().map(|pair| pair.local);
    for address in config.relay.addresses.iter().copied().chain(advertised) {
        UdpSocket::bind((address, 0))
            .map_err(|source| StartError::RelayAddress { address, source })?;
    }
    Ok(RelayAddresses::find(&config.relay))
}

/// The listening addresses with their ports, and each worker's sockets.
fn bind_listeners(
    config: &Config,
    count: usize,
) -> Result<(Vec<SocketAddr>, Vec<Vec<UdpSocket>>), StartError> {
    let mut listeners: Vec<Vec<UdpSocket>> = (0..count).map(|_| Vec::new()).collect();
    let mut listen = Vec::new();
    for address in udp_addresses(config) {
        let bound = bind_for_workers(address, count)
            .map_err(|source| StartError::Listen { address, source });
        let (bound, sockets) = match bound {
            // A host without IPv6 still relays IPv4.
            Err(error)
                if stands_beside_ipv4(address, &config.listen.udp) && error.is_missing_family() =>
            {
                tracing::info!(%error, "no IPv6 on this host");
                continue;
            }
            bound => bound?,
        };
        listen.push(bound);
        listeners
            .iter_mut()
            .zip(sockets)
            .for_each(|(of_worker, socket)| of_worker.push(socket));
    }
    Ok((listen, listeners))
}

/// Those named, and the pairs of `turn.behavior_discovery` that none of them covers.
fn udp_addresses(config: &Config) -> Vec<SocketAddr> {
    let mut all = config.listen.udp.clone();
    let behavior = config.turn.behavior_discovery.map(Alternates::new);
    for address in behavior.into_iter().flat_map(Alternates::all) {
        let any = match address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, address.port()).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, address.port()).into(),
        };
        if !all.contains(&address) && !all.contains(&any) {
            all.push(address);
        }
    }
    all
}

/// The IPv6 half of "this port, both families": the default, and what a bare port in `listen.udp` means.
fn stands_beside_ipv4(address: SocketAddr, all: &[SocketAddr]) -> bool {
    address == SocketAddr::from((Ipv6Addr::UNSPECIFIED, address.port()))
        && all.contains(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
}

fn policy(config: &Config, listen: &[SocketAddr], pool: &Arc<PortPool>) -> PeerPolicy {
    let forwards = config.forwards.iter().map(|forward| forward.listen);
    PeerPolicy::new(&config.peers)
        .with_listeners(
            listen
                .iter()
                .copied()
                .chain(config.metrics.listen)
                .chain(forwards),
        )
        .with_own_addresses(local_addresses())
        .with_advertised(Advertise::new(&config.relay.advertise))
        .with_relayed(config.relay.addresses.clone(), {
            let pool = Arc::clone(pool);
            move |address| pool.holds(address)
        })
        .with_relayed_streams({
            let pool = Arc::clone(pool);
            move |address| pool.holds_stream(address)
        })
}

/// A family is relayed when some address of it is ours: configured, contacted or of the default route.
fn families(addresses: &RelayAddresses, listen: &[SocketAddr]) -> RelayFamilies {
    let ours = || {
        addresses
            .configured
            .iter()
            .chain(&addresses.default_route)
            .copied()
            .chain(listen.iter().map(SocketAddr::ip))
    };
    RelayFamilies {
        v4: ours().any(|ip| ip.is_ipv4()),
        v6: ours().any(|ip| ip.is_ipv6()),
    }
}

fn random() -> Result<[u8; 32], StartError> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).map_err(StartError::Random)?;
    Ok(bytes)
}

async fn housekeeping(pool: Arc<PortPool>, policy: Arc<PeerPolicy>, fastpath: FastPath) {
    loop {
        tokio::time::sleep(HOUSEKEEPING).await;
        pool.expire(Instant::now());
        // None is no news: then they could not be read, and the old ones stay denied.
        let own = local_addresses();
        if !own.is_empty() {
            fastpath.set_own_addresses(own.clone());
            policy.set_own_addresses(own);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_both_families_needs_no_ipv6() {
        let all = |texts: &[&str]| -> Vec<SocketAddr> {
            texts.iter().map(|t| t.parse().expect("address")).collect()
        };
        let both = all(&["0.0.0.0:4000", "[::]:4000"]);
        let asked_for = all(&["0.0.0.0:3478", "[::]:4000", "[::1]:3478"]);
        assert!(stands_beside_ipv4(both[1], &both));
        assert!(
            !asked_for
                .iter()
                .any(|one| stands_beside_ipv4(*one, &asked_for))
        );
    }
}
