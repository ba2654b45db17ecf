//! The forwards that exist: their names, their destinations' addresses, and the watch over those names.

mod inherited;
mod resolved;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use inherited::{Inherited, of_worker};
use resolved::{Resolved, judge, lock, look_up, renew};

use super::error::ForwardError;
use super::listen::bind_for_workers;
use super::workers::Workers;
use crate::admission::Admission;
use crate::api::ForwardView;
use crate::config::{Destination, Forward};
use crate::fastpath::FastPath;
use crate::forward::destination::{RESOLVE_EVERY, is_literal};
use crate::forward::saved::SavedSession;
use crate::forward::shared::SharedLimit;
use crate::forward::table::Rules;
use crate::net::control::Request;
use crate::net::forwarding::{ForwardKey, NewForward};
use crate::policy::{PeerPolicy, Shielded};

/// Below it the checks of a session would keep a worker busy.
const SHORTEST_IDLE: Duration = Duration::from_millis(100);

pub struct Forwards {
    workers: Arc<Workers>,
    fastpath: FastPath,
    policy: Arc<PeerPolicy>,
    admission: Admission,
    next_key: AtomicU64,
    entries: tokio::sync::Mutex<BTreeMap<String, Entry>>,
    count: AtomicU64,
    inherited: Inherited,
}

struct Entry {
    key: ForwardKey,
    /// With the port that was bound.
    forward: Forward,
    limit: Arc<SharedLimit>,
    resolved: Arc<Mutex<Resolved>>,
    watch: Option<AbortHandle>,
    /// No client and no other forward comes in by the relay itself, past `allow` or in circles.
    _shielded: Shielded,
}

/// What to do when the destination's name does not resolve at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unresolved {
    Refuse,
    /// Start with the fault shown: at boot, names may come later than the relay.
    KeepTrying,
}

impl Forwards {
    /// `sessions` of an earlier process go on when their forward is added.
    pub fn new(
        workers: Arc<Workers>,
        fastpath: FastPath,
        policy: Arc<PeerPolicy>,
        admission: Admission,
        sessions: Vec<SavedSession>,
    ) -> Forwards {
        Forwards {
            workers,
            fastpath,
            policy,
            admission,
            next_key: AtomicU64::new(1),
            entries: Default::default(),
            count: AtomicU64::new(0),
            inherited: Inherited::new(sessions),
        }
    }

    pub async fn add(
        &self,
        mut forward: Forward,
        unresolved: Unresolved,
    ) -> Result<ForwardView, ForwardError> {
        // Before the lock: a slow resolver must not hold up the others.
        let resolved = match look_up(&forward.to, &self.policy).await {
            Ok(addresses) => Resolved {
                addresses,
                fault: None,
            },
            Err(error) if unresolved == Unresolved::KeepTrying && error.is_about_names() => {
                Resolved {
                    addresses: Vec::new(),
                    fault: Some(error.to_string()),
                }
            }
            Err(error) => return Err(error),
        };
        let mut entries = self.entries.lock().await;
        if entries.contains_key(&forward.name) {
            return Err(ForwardError::NameTaken { name: forward.name });
        }
        let listen = |source| ForwardError::Listen {
            address: forward.listen,
            source,
        };
        let (bound, sockets) =
            bind_for_workers(forward.listen, self.workers.count()).map_err(listen)?;
        forward.listen = bound;
        let shielded = self.policy.shield(bound);
        // Once more: only now is it known whether the forward leads to itself.
        let resolved = Resolved {
            addresses: judge(resolved.addresses, &self.policy)?,
            ..resolved
        };
        let key = ForwardKey(self.next_key.fetch_add(1, Relaxed));
        let limit = Arc::new(SharedLimit::new(forward.max_sessions));
        let rules = Rules {
            allow: forward.allow.clone(),
            idle: forward.idle.max(SHORTEST_IDLE),
            admission: self.admission.clone(),
        };
        let targets = resolved.addresses.clone();
        let inherited = self.inherited.take(&forward, &targets, &self.policy);
        let new = |(worker, listener)| {
            let (name, limit) = (forward.name.as_str().into(), Arc::clone(&limit));
            NewForward {
                key,
                name,
                rules: rules.clone(),
                limit,
                targets: targets.clone(),
                listener,
                worker,
                restored: of_worker(&inherited, worker),
            }
        };
        // Before the sessions of an earlier process are wanted: theirs is the port, and it must not close for a moment.
        self.fastpath.open_forward_port(bound);
        if let Err(error) = self
            .hand_out(sockets.into_iter().enumerate().map(new), bound)
            .await
        {
            self.take_back(key).await;
            self.fastpath.close_port(bound);
            return Err(error);
        }
        let resolved = Arc::new(Mutex::new(resolved));
        let watch = (!is_literal(&forward.to)).then(|| self.watch(key, &forward.to, &resolved));
        let entry = Entry {
            key,
            forward,
            limit,
            resolved,
            watch,
            _shielded: shielded,
        };
        let view = entry.view();
        entries.insert(view.name.clone(), entry);
        self.count.store(entries.len() as u64, Relaxed);
        Ok(view)
    }

    /// False: no forward has that name.
    pub async fn remove(&self, name: &str) -> bool {
        let mut entries = self.entries.lock().await;
        let Some(entry) = entries.remove(name) else {
            return false;
        };
        self.count.store(entries.len() as u64, Relaxed);
        if let Some(watch) = &entry.watch {
            watch.abort();
        }
        self.take_back(entry.key).await;
        self.fastpath.close_port(entry.forward.listen);
        true
    }

    pub async fn remove_all(&self) {
        let names: Vec<String> = self.entries.lock().await.keys().cloned().collect();
        for name in names {
            self.remove(&name).await;
        }
    }

    /// Ids of an earlier process's sessions that no forward took, once all forwards are there.
    pub fn lapsed(&self) -> Vec<u64> {
        self.inherited.rest()
    }

    pub fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    pub async fn views(&self) -> Vec<ForwardView> {
        self.entries
            .lock()
            .await
            .values()
            .map(Entry::view)
            .collect()
    }

    /// One a worker.
    async fn hand_out(
        &self,
        all: impl Iterator<Item = NewForward>,
        bound: SocketAddr,
    ) -> Result<(), ForwardError> {
        let requests = self.workers.requests();
        if requests.is_empty() {
            return Err(ForwardError::ShuttingDown);
        }
        for (requests, new) in requests.into_iter().zip(all) {
            let (reply, added) = oneshot::channel();
            requests
                .send(Request::AddForward(new, reply))
                .map_err(|_| ForwardError::ShuttingDown)?;
            let added = added.await.map_err(|_| ForwardError::ShuttingDown)?;
            added.map_err(|source| ForwardError::Listen {
                address: bound,
                source,
            })?;
        }
        Ok(())
    }

    /// Waits until no worker serves the forward.
    async fn take_back(&self, key: ForwardKey) {
        self.workers
            .ask(|reply| Request::RemoveForward(key, reply))
            .await;
    }

    /// Looks the name up again and again, and tells the workers what changed.
    fn watch(
        &self,
        key: ForwardKey,
        to: &Destination,
        resolved: &Arc<Mutex<Resolved>>,
    ) -> AbortHandle {
        let (workers, policy) = (Arc::downgrade(&self.workers), Arc::clone(&self.policy));
        let (to, resolved) = (to.clone(), Arc::clone(resolved));
        let watch = async move {
            loop {
                tokio::time::sleep(RESOLVE_EVERY).await;
                let answer = look_up(&to, &policy).await;
                let Some(workers) = workers.upgrade() else {
                    return;
                };
                let Some(targets) = renew(&mut lock(&resolved), answer) else {
                    continue;
                };
                for requests in workers.requests() {
                    // A worker that is gone needs no addresses.
                    let _ =
                        requests.send(Request::Retarget(key, targets.clone(), Arc::clone(&policy)));
                }
            }
        };
        tokio::spawn(watch).abort_handle()
    }
}

impl Entry {
    fn view(&self) -> ForwardView {
        let resolved = lock(&self.resolved).clone();
        ForwardView {
            name: self.forward.name.clone(),
            listen: self.forward.listen,
            to: self.forward.to.to_string(),
            resolved: resolved.addresses,
            fault: resolved.fault,
            allow: self.forward.allow.iter().map(ToString::to_string).collect(),
            idle_seconds: self.forward.idle.as_secs(),
            max_sessions: self.forward.max_sessions as u64,
            sessions: self.limit.sessions() as u64,
            refused: self.limit.refused(),
        }
    }
}
