//! The mirror behind the handle's lock: sessions wanted, sessions installed, and the way from one to the other.
//! Every method is short; nothing here waits.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use relay_common::{HashKey, Match, OWN_PORT, PORT_IS_CONTROL, PORT_IS_FLOW, PORT_IS_OPEN};

use super::clock::Clock;
use super::hairpin::{self, Pairs};
use super::installer::Installer;
use super::known::Acquainted;
use super::memory::Memory;
use super::next_hop::{Cards, Network, Obstacle, RouteKey};
use super::reconcile::{KernelSession, Op, Unit, diff};
use super::table::TableFault;
use super::{LegTraffic, SessionId, SessionSpec};
use crate::api::Traffic;
use crate::police::MeterClock;
use crate::tally::Tally;

mod adopt;
mod look;
mod network;
mod sweep;

use adopt::Adoption;
pub use sweep::Sweep;

/// See the module.
pub struct Mirror<M> {
    kernel: Installer<M>,
    network: Network,
    clock: Clock,
    /// Of the meters.
    pub meter_clock: Arc<MeterClock>,
    pairs: Pairs,
    sessions: BTreeMap<SessionId, Entry>,
    failed_installs: u64,
    /// A session waits for room.
    starved: bool,
    /// Some was freed since.
    room: bool,
    drift: u64,
    adoption: Adoption,
    own_addresses: BTreeSet<IpAddr>,
    /// Traffic of sessions that left the kernel.
    gone: Traffic,
    /// Something waits for the resolver.
    pub needs_resolver: bool,
}

struct Entry {
    spec: SessionSpec,
    /// Its meters; `None`: there was no room for them.
    limits: Option<[u32; 2]>,
    reason: Option<String>,
    /// From earlier stays in the kernel.
    carried: LegTraffic,
    /// By the leg packets arrive on.
    tallies: [Tally; 2],
}

impl<M: Memory> Mirror<M> {
    /// Over empty tables.
    pub fn new(memory: M, key: HashKey, clock: Clock, cards: Cards) -> Self {
        Self {
            kernel: Installer::new(memory, key),
            network: Network::new(cards),
            clock,
            meter_clock: Arc::new(MeterClock::new(clock.hz(), clock.seen().0, clock.seen().1)),
            pairs: Pairs::default(),
            sessions: BTreeMap::new(),
            failed_installs: 0,
            starved: false,
            room: false,
            drift: 0,
            adoption: Adoption::Done,
            own_addresses: BTreeSet::new(),
            gone: Traffic::default(),
            needs_resolver: false,
        }
    }

    pub fn open_control_port(&mut self, local: SocketAddr) {
        self.kernel.open_port(local, PORT_IS_CONTROL);
    }

    pub fn open_flow_port(&mut self, local: SocketAddr) {
        self.kernel.open_port(local, PORT_IS_FLOW);
    }

    pub fn open_forward_port(&mut self, local: SocketAddr) {
        self.kernel.open_port(local, PORT_IS_FLOW | PORT_IS_OPEN);
    }

    pub fn acquaint(&mut self, who: Acquainted, is_known: bool) {
        self.kernel.acquaint(who, is_known);
    }

    pub fn set_own_addresses(&mut self, all: BTreeSet<IpAddr>) {
        let own = |ip: &IpAddr| Acquainted {
            remote: SocketAddr::new(*ip, OWN_PORT),
            local_port: OWN_PORT,
        };
        for gone in self.own_addresses.difference(&all) {
            self.kernel.acquaint(own(gone), false);
        }
        for new in all.difference(&self.own_addresses) {
            self.kernel.acquaint(own(new), true);
        }
        self.own_addresses = all;
    }

    pub fn close_port(&mut self, local: SocketAddr) {
        self.kernel.close_port(local);
    }

    /// A session without limits.
    #[cfg(test)]
    pub fn install(&mut self, id: SessionId, spec: SessionSpec) {
        self.install_within(id, spec, Some([0, 0]));
    }

    /// `limits`: the meters of the session and of its user; `None`: the kernel has no room for them.
    pub fn install_within(&mut self, id: SessionId, spec: SessionSpec, limits: Option<[u32; 2]>) {
        let carried = self.remove(id).unwrap_or_default();
        self.sessions.insert(
            id,
            Entry {
                spec,
                limits,
                reason: None,
                carried,
                tallies: Default::default(),
            },
        );
        self.pairs.insert(id, &spec);
        self.introduce(&spec, true);
        for key in routes_of(&spec) {
            self.needs_resolver |= self.network.use_route(key, id);
        }
        self.refresh(self.units_of(id));
    }

    pub fn extend(&mut self, id: SessionId, near: Instant, far: Instant) {
        if let Some(entry) = self.sessions.get_mut(&id) {
            entry.spec.near.deadline = near;
            entry.spec.far.deadline = far;
            self.refresh(self.units_of(id));
        }
    }

    pub fn remove(&mut self, id: SessionId) -> Option<LegTraffic> {
        let units = self.units_of(id);
        let spec = self.sessions.get(&id)?.spec;
        self.pairs.remove(id, &spec);
        self.introduce(&spec, false);
        for key in routes_of(&spec) {
            self.network.drop_route(key, id);
        }
        // Its traffic is credited to it while it is still here, then its partner goes on alone.
        let (own, partner): (Vec<_>, Vec<_>) = units.into_iter().partition(|unit| unit.has(id));
        for unit in own {
            self.uninstall(unit);
        }
        let entry = self.sessions.remove(&id)?;
        self.refresh(partner);
        Some(entry.carried)
    }

    /// Both ends of a forward session are known while it lasts; those of TURN by allocation and permission.
    fn introduce(&mut self, spec: &SessionSpec, is_known: bool) {
        if spec.near.channel.is_some() {
            return;
        }
        let any_port = SocketAddr::new(spec.far.remote.ip(), 0);
        for (remote, local) in [
            (spec.near.remote, spec.near.local),
            (any_port, spec.far.local),
        ] {
            let local_port = local.port();
            self.acquaint(Acquainted { remote, local_port }, is_known);
        }
    }

    /// The units whose place in the kernel depends on `id`.
    fn units_of(&self, id: SessionId) -> Vec<Unit> {
        let mut units = vec![Unit::Single(id)];
        let spec = self.sessions.get(&id).map(|entry| &entry.spec);
        if let Some(partner) = spec.and_then(|spec| self.pairs.partner(id, spec)) {
            units.push(Unit::Single(partner));
            units.push(Unit::Pair(id.min(partner), id.max(partner)));
        }
        units
    }

    fn refresh(&mut self, units: impl IntoIterator<Item = Unit>) {
        let mut desired = BTreeMap::new();
        let mut installed = BTreeMap::new();
        for unit in units {
            if let Some(session) = self.kernel.get(unit) {
                installed.insert(unit, *session);
            }
            match self.desire(unit) {
                Some(Ok(session)) => {
                    desired.insert(unit, session);
                }
                Some(Err(reason)) => self.explain(unit, Some(reason)),
                None => {}
            }
        }
        for op in diff(&desired, &installed) {
            self.apply(op);
        }
    }

    /// What the kernel should hold for `unit`; `None`: there is no such unit now.
    fn desire(&self, unit: Unit) -> Option<Result<KernelSession, String>> {
        let spec = |id| self.sessions.get(&id).map(|entry| entry.spec);
        let (spec, single) = match unit {
            Unit::Single(id) => {
                let spec = spec(id)?;
                if self.pairs.partner(id, &spec).is_some() {
                    return None;
                }
                (spec, true)
            }
            Unit::Pair(a, b) => {
                let (a_spec, b_spec) = (spec(a)?, spec(b)?);
                if self.pairs.partner(a, &a_spec) != Some(b) {
                    return None;
                }
                (hairpin::join(&a_spec, &b_spec), false)
            }
        };
        Some(self.plan(&spec, single).and_then(|session| {
            let (first, meters) = match unit {
                Unit::Single(id) => (id, [self.limits_of(id)?, [0, 0]]),
                Unit::Pair(a, b) => (a, [self.limits_of(a)?, self.limits_of(b)?]),
            };
            let limits = self.sessions.get(&first).and_then(|entry| entry.limits);
            Ok(KernelSession {
                meters,
                home: limits.unwrap_or_default()[0],
                ..session
            })
        }))
    }

    /// The meters of a session that limit anything now.
    fn limits_of(&self, id: SessionId) -> Result<[u32; 2], String> {
        let meters = self.sessions.get(&id).and_then(|entry| entry.limits);
        let meters = meters.ok_or("no room for its limits in the kernel (kernel.max_sessions)")?;
        Ok(meters.map(|meter| match self.kernel.is_limited(meter) {
            true => meter,
            false => 0,
        }))
    }

    fn plan(&self, spec: &SessionSpec, single: bool) -> Result<KernelSession, String> {
        let [near, far] = routes_of(spec).map(|key| self.network.hop(&key));
        let far = far.map_err(|obstacle| match obstacle {
            Obstacle::Local(_) if single && self.kernel.is_flow_port(spec.far.remote) => {
                "the peer is a client of this relay without a channel back".to_owned()
            }
            Obstacle::Local(_) => "the peer is on this host".to_owned(),
            other => other.to_string(),
        })?;
        let near = near.map_err(|obstacle| match obstacle {
            Obstacle::Local(_) => "the client is on this host".to_owned(),
            other => other.to_string(),
        })?;
        let leg = |leg: &super::Leg| Match::new(leg.remote, leg.local, leg.channel.unwrap_or(0));
        Ok(KernelSession {
            legs: [leg(&spec.near), leg(&spec.far)],
            hops: [near, far],
            deadlines: [spec.near.deadline, spec.far.deadline].map(|at| self.clock.deadline(at)),
            meters: [[0, 0]; 2],
            home: 0,
        })
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Remove(unit) => self.uninstall(unit),
            Op::SetDeadlines(unit, deadlines) => self.kernel.set_deadlines(unit, deadlines),
            Op::SetMeters(unit, meters) => self.kernel.set_meters(unit, meters),
            Op::SetHops(unit, hops) => {
                self.kernel.set_hops(unit, hops, &self.network);
                self.needs_resolver |= self.kernel.waiting_for(unit).is_some();
            }
            Op::Install(unit, session) => {
                let fault = self.kernel.install(unit, session, &self.network).err();
                self.starved |= fault == Some(TableFault::Full);
                // Either a neighbour has to be resolved, or freed slots wait for their grace period.
                self.needs_resolver |= fault.is_some() || self.kernel.waiting_for(unit).is_some();
                let reason = fault.map(|fault| fault.to_string());
                let known = |id| {
                    self.sessions
                        .get(&id)
                        .is_some_and(|entry| entry.reason == reason)
                };
                self.failed_installs += u64::from(reason.is_some() && !unit.sessions().all(known));
                self.explain(unit, reason);
            }
        }
    }

    fn uninstall(&mut self, unit: Unit) {
        let Some((traffic, refused)) = self.kernel.remove(unit) else {
            return;
        };
        for leg in traffic {
            add(&mut self.gone, leg);
        }
        for id in unit.sessions() {
            if let Some(entry) = self.sessions.get_mut(&id) {
                credit(&mut entry.carried, unit, id, traffic, refused);
            }
        }
    }

    fn explain(&mut self, unit: Unit, reason: Option<String>) {
        for id in unit.sessions() {
            if let Some(entry) = self.sessions.get_mut(&id) {
                entry.reason.clone_from(&reason);
            }
        }
    }
}

fn routes_of(spec: &SessionSpec) -> [RouteKey; 2] {
    [spec.near, spec.far].map(|leg| RouteKey {
        remote: leg.remote.ip(),
        local: leg.local.ip(),
    })
}

/// Adds a unit's traffic to one of its sessions: what arrived on B's side of a pair is A's far traffic.
fn credit(
    to: &mut LegTraffic,
    unit: Unit,
    id: SessionId,
    [first, second]: [Traffic; 2],
    refused: [u64; 2],
) {
    let swapped = is_second(unit, id);
    let (near, far) = if swapped {
        (second, first)
    } else {
        (first, second)
    };
    add(&mut to.near, near);
    add(&mut to.far, far);
    let (near, far) = (usize::from(swapped), usize::from(!swapped));
    to.refused[0] += refused[near];
    to.refused[1] += refused[far];
}

/// Whether the near leg of `id` is the second one of the unit.
fn is_second(unit: Unit, id: SessionId) -> bool {
    matches!(unit, Unit::Pair(_, b) if b == id)
}

fn add(to: &mut Traffic, more: Traffic) {
    to.packets += more.packets;
    to.bytes += more.bytes;
}

#[cfg(test)]
mod tests;
