//! The mirror behind the handle's lock: sessions wanted, sessions installed, and the way from one to the other.
//! Every method is short; nothing here waits.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use relay_common::{HashKey, Match, PORT_IS_CONTROL, PORT_IS_FLOW, Session};

use super::clock::Clock;
use super::hairpin::{self, Pairs};
use super::hop_table::HopTable;
use super::memory::Memory;
use super::next_hop::{HopKey, Link, Neighbour, Network, Obstacle, Route, RouteKey};
use super::ports::{Hint, Ports};
use super::reconcile::{KernelSession, Op, Unit, diff};
use super::table::{Table, TableFault};
use super::{Gauges, LegTraffic, Placement, SessionId, SessionSpec};
use crate::api::Traffic;

/// Slots and next hops that no packet may still be reading when they come back.
#[derive(Debug, Default)]
pub struct Retired {
    slots: Vec<u32>,
    hops: Vec<u32>,
}

/// See the module.
pub struct Mirror<M> {
    table: Table<M>,
    ports: Ports,
    hops: HopTable,
    network: Network,
    clock: Clock,
    pairs: Pairs,
    sessions: HashMap<SessionId, Entry>,
    installed: BTreeMap<Unit, KernelSession>,
    slots: HashMap<Unit, (u32, u32)>,
    failed_installs: u64,
    drift: u64,
    /// Traffic of sessions that left the kernel.
    gone: Traffic,
    /// Something waits for the resolver.
    pub needs_resolver: bool,
}

struct Entry {
    spec: SessionSpec,
    reason: Option<String>,
    /// From earlier stays in the kernel.
    carried: LegTraffic,
}

impl<M: Memory> Mirror<M> {
    /// Over empty tables; `cards` maps interfaces to their index in `CARDS`.
    pub fn new(memory: M, key: HashKey, clock: Clock, cards: HashMap<u32, u32>) -> Self {
        let hops = HopTable::new(&memory);
        Self {
            table: Table::new(memory, key),
            ports: Ports::default(),
            hops,
            network: Network::new(cards),
            clock,
            pairs: Pairs::default(),
            sessions: HashMap::new(),
            installed: BTreeMap::new(),
            slots: HashMap::new(),
            failed_installs: 0,
            drift: 0,
            gone: Traffic::default(),
            needs_resolver: false,
        }
    }

    pub fn open_control_port(&mut self, local: SocketAddr) {
        self.ports.open(&self.table.memory, local, PORT_IS_CONTROL);
    }

    pub fn open_flow_port(&mut self, local: SocketAddr) {
        self.ports.open(&self.table.memory, local, PORT_IS_FLOW);
    }

    pub fn close_port(&mut self, local: SocketAddr) {
        self.ports.close(&self.table.memory, local);
    }

    pub fn install(&mut self, id: SessionId, spec: SessionSpec) {
        let carried = self.remove(id).unwrap_or_default();
        self.sessions.insert(
            id,
            Entry {
                spec,
                reason: None,
                carried,
            },
        );
        self.pairs.insert(id, &spec);
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
        for key in routes_of(&spec) {
            self.network.drop_route(key, id);
        }
        // Its traffic is credited to it while it is still here, then its partner goes on alone.
        let (own, partner): (Vec<_>, Vec<_>) = units.into_iter().partition(|unit| unit.has(id));
        for unit in own {
            if self.installed.contains_key(&unit) {
                self.uninstall(unit);
            }
        }
        let entry = self.sessions.remove(&id)?;
        self.refresh(partner);
        Some(entry.carried)
    }

    pub fn session(&self, id: SessionId) -> Placement {
        let Some(entry) = self.sessions.get(&id) else {
            return Placement::default();
        };
        let mut placement = Placement {
            in_kernel: false,
            reason: entry.reason.clone(),
            traffic: entry.carried,
        };
        for unit in self.units_of(id).into_iter().filter(|unit| unit.has(id)) {
            let Some(installed) = self.installed.get(&unit) else {
                continue;
            };
            credit(&mut placement.traffic, unit, id, self.traffic(unit));
            let waiting = installed
                .hops
                .iter()
                .find(|hop| !self.hops.is_resolved(hop));
            placement.in_kernel = waiting.is_none();
            placement.reason = waiting.map(|hop| {
                let card = self.network.name(hop.oif);
                format!("the neighbour {} on {card} is not resolved", hop.neighbour)
            });
        }
        placement
    }

    pub fn gauges(&self) -> Gauges {
        let mut traffic = self.gone;
        let mut installed = 0;
        for (unit, session) in &self.installed {
            for leg in self.traffic(*unit) {
                add(&mut traffic, leg);
            }
            if session.hops.iter().all(|hop| self.hops.is_resolved(hop)) {
                installed += unit.sessions().count() as u64;
            }
        }
        Gauges {
            wanted: self.sessions.len() as u64,
            installed,
            capacity: self.table.capacity() as u64,
            next_hops: self.hops.keys().count() as u64,
            next_hops_unresolved: self
                .hops
                .keys()
                .filter(|hop| !self.hops.is_resolved(hop))
                .count() as u64,
            failed_installs: self.failed_installs,
            drift: self.drift,
            traffic,
        }
    }

    /// Everything again: what userspace wants against what is installed, and that against the memory.
    pub fn reconcile(&mut self, clock: Option<Clock>) {
        self.clock = clock.unwrap_or(self.clock);
        let mut units: BTreeSet<Unit> = self.installed.keys().copied().collect();
        for id in self.sessions.keys() {
            units.extend(self.units_of(*id));
        }
        self.refresh(units);
        let memory = &self.table.memory;
        self.drift += self.ports.verify(memory) + self.hops.verify(memory) + self.table.verify();
    }

    pub fn take_wanted_routes(&mut self) -> Vec<RouteKey> {
        self.network.take_wanted()
    }

    pub fn doubt_routes(&mut self) {
        self.network.doubt_routes();
    }

    pub fn set_route(&mut self, key: RouteKey, route: Route) {
        for id in self.network.set_route(key, route) {
            self.refresh(self.units_of(id));
        }
    }

    pub fn set_link(&mut self, index: u32, link: Option<Link>) {
        if self.network.set_link(index, link) {
            self.hops
                .update_all(&self.table.memory, |key| self.network.next_hop(key));
        }
    }

    pub fn set_neighbour(&mut self, oif: u32, ip: IpAddr, neighbour: Option<Neighbour>) {
        if self.network.set_neighbour(oif, ip, neighbour) {
            self.hops.update(&self.table.memory, oif, ip, |key| {
                self.network.next_hop(key)
            });
        }
    }

    /// Replaces all links and neighbours at once, so that what did not change is not interrupted.
    pub fn set_network(
        &mut self,
        links: Vec<(u32, Link)>,
        neighbours: Vec<(u32, IpAddr, Neighbour)>,
    ) {
        self.network.forget_links_and_neighbours();
        for (index, link) in links {
            self.network.set_link(index, Some(link));
        }
        for (oif, ip, neighbour) in neighbours {
            self.network.set_neighbour(oif, ip, Some(neighbour));
        }
        self.hops
            .update_all(&self.table.memory, |key| self.network.next_hop(key));
    }

    /// Next hops in use whose neighbour is not resolved.
    pub fn unresolved(&self) -> Vec<HopKey> {
        self.hops
            .keys()
            .filter(|hop| !self.hops.is_resolved(hop))
            .copied()
            .collect()
    }

    /// Next hops in use that nobody confirmed for a while, or ever.
    pub fn stale(&self) -> Vec<HopKey> {
        self.hops
            .keys()
            .filter(|hop| self.network.is_stale(hop))
            .copied()
            .collect()
    }

    /// What was freed; give it back by `release` after a grace period. `None`: nothing.
    pub fn take_retired(&mut self) -> Option<Retired> {
        let retired = Retired {
            slots: self.table.take_retired(),
            hops: self.hops.take_retired(),
        };
        (!retired.slots.is_empty() || !retired.hops.is_empty()).then_some(retired)
    }

    pub fn release(&mut self, retired: Retired) {
        self.table.release(retired.slots);
        self.hops.recycle(retired.hops);
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
            if let Some(session) = self.installed.get(&unit) {
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
        Some(self.plan(&spec, single))
    }

    fn plan(&self, spec: &SessionSpec, single: bool) -> Result<KernelSession, String> {
        if spec.near.remote.is_ipv4() != spec.far.remote.is_ipv4() {
            return Err("IPv4 to IPv6 runs in userspace for now".to_owned());
        }
        let [near, far] = routes_of(spec).map(|key| self.network.hop(&key));
        let far = far.map_err(|obstacle| match obstacle {
            Obstacle::Local(_) if single && self.ports.is_flow(spec.far.remote) => {
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
        })
    }

    fn apply(&mut self, op: Op) {
        match op {
            Op::Remove(unit) => self.uninstall(unit),
            Op::Install(unit, session) => {
                let fault = self.put(unit, session).err().map(|fault| fault.to_string());
                let known = unit.sessions().all(|id| {
                    self.sessions
                        .get(&id)
                        .is_some_and(|entry| entry.reason == fault)
                });
                self.failed_installs += u64::from(fault.is_some() && !known);
                self.explain(unit, fault);
            }
            Op::SetDeadlines(unit, deadlines) => {
                let slot = self.slots[&unit].0;
                self.table.set_deadlines(slot, deadlines);
                self.record(unit, |session| session.deadlines = deadlines);
            }
            Op::SetHops(unit, hops) => {
                let (slot, old) = (self.slots[&unit].0, self.installed[&unit].hops);
                let Some(indices) = self.acquire(hops) else {
                    return;
                };
                for (leg, index) in indices.into_iter().enumerate() {
                    self.table.set_next_hop(slot, leg, index);
                    self.hops.release(&self.table.memory, &old[leg]);
                }
                self.record(unit, |session| session.hops = hops);
            }
        }
    }

    fn put(&mut self, unit: Unit, session: KernelSession) -> Result<(), TableFault> {
        let indices = self.acquire(session.hops).ok_or(TableFault::Full)?;
        let value = Session::new(session.legs, indices, session.deadlines);
        let (slot, generation) = match self.table.install(&value) {
            Ok(live) => live,
            Err(fault) => {
                // Freed slots may only be waiting for their grace period.
                self.needs_resolver |= fault == TableFault::Full;
                for hop in &session.hops {
                    self.hops.release(&self.table.memory, hop);
                }
                return Err(fault);
            }
        };
        self.slots.insert(unit, (slot, generation));
        self.installed.insert(unit, session);
        self.needs_resolver |= session.hops.iter().any(|hop| !self.hops.is_resolved(hop));
        for (leg, hint) in plain_legs(&session, slot, generation) {
            self.ports.add_leg(&self.table.memory, leg, hint);
        }
        Ok(())
    }

    fn uninstall(&mut self, unit: Unit) {
        let (Some((slot, generation)), Some(session)) =
            (self.slots.remove(&unit), self.installed.remove(&unit))
        else {
            return;
        };
        let traffic = self.table.remove(slot);
        for (leg, hint) in plain_legs(&session, slot, generation) {
            self.ports.remove_leg(&self.table.memory, leg, hint);
        }
        for hop in &session.hops {
            self.hops.release(&self.table.memory, hop);
        }
        for leg in traffic {
            add(&mut self.gone, leg);
        }
        for id in unit.sessions() {
            if let Some(entry) = self.sessions.get_mut(&id) {
                credit(&mut entry.carried, unit, id, traffic);
            }
        }
    }

    fn acquire(&mut self, hops: [HopKey; 2]) -> Option<[u32; 2]> {
        let memory = &self.table.memory;
        let first = self
            .hops
            .acquire(memory, hops[0], || self.network.next_hop(&hops[0]))?;
        match self
            .hops
            .acquire(memory, hops[1], || self.network.next_hop(&hops[1]))
        {
            Some(second) => Some([first, second]),
            None => {
                self.hops.release(memory, &hops[0]);
                None
            }
        }
    }

    fn traffic(&self, unit: Unit) -> [Traffic; 2] {
        self.slots
            .get(&unit)
            .map_or_else(Default::default, |(slot, _)| self.table.traffic(*slot))
    }

    fn record(&mut self, unit: Unit, change: impl FnOnce(&mut KernelSession)) {
        if let Some(session) = self.installed.get_mut(&unit) {
            change(session);
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

fn plain_legs(
    session: &KernelSession,
    slot: u32,
    generation: u32,
) -> impl Iterator<Item = (&Match, Hint)> {
    let hint = move |leg: usize| Hint {
        slot,
        generation,
        leg: leg as u32,
    };
    let legs = session.legs.iter().enumerate();
    legs.filter(|(_, m)| m.channel == 0)
        .map(move |(leg, m)| (m, hint(leg)))
}

/// Adds a unit's traffic to one of its sessions: what arrived on B's side of a pair is A's far traffic.
fn credit(to: &mut LegTraffic, unit: Unit, id: SessionId, [first, second]: [Traffic; 2]) {
    let swapped = matches!(unit, Unit::Pair(_, b) if b == id);
    let (near, far) = if swapped {
        (second, first)
    } else {
        (first, second)
    };
    add(&mut to.near, near);
    add(&mut to.far, far);
}

fn add(to: &mut Traffic, more: Traffic) {
    to.packets += more.packets;
    to.bytes += more.bytes;
}

#[cfg(test)]
mod tests;
