//! Sessions in the kernel: a slot, two index entries, the port shortcuts and the shared next hops, kept together.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use relay_common::{HashKey, Match, Session, Streams};

use super::hop_table::HopTable;
use super::known::{Acquainted, Known};
use super::memory::Memory;
use super::next_hop::{HopKey, Network};
use super::ports::{Hint, Ports};
use super::reconcile::{KernelSession, Unit};
use super::table::{Table, TableFault};
use crate::api::Traffic;
use crate::police::meter_words;

/// Slots and next hops that no packet may still be reading when they come back.
#[derive(Debug, Default)]
pub struct Retired {
    slots: Vec<u32>,
    hops: Vec<u32>,
}

/// All that userspace writes.
pub struct Installer<M> {
    table: Table<M>,
    ports: Ports,
    hops: HopTable,
    known: Known,
    installed: BTreeMap<Unit, Installed>,
}

struct Installed {
    slot: u32,
    generation: u32,
    session: KernelSession,
}

impl<M: Memory> Installer<M> {
    /// Over empty tables.
    pub fn new(memory: M, key: HashKey) -> Self {
        Self {
            hops: HopTable::new(&memory),
            table: Table::new(memory, key),
            ports: Ports::default(),
            known: Known::new(key),
            installed: BTreeMap::new(),
        }
    }

    /// Takes over what an earlier process left in the tables. Returns how many sessions.
    pub fn adopt(&mut self) -> usize {
        self.table.adopt()
    }

    /// Ends what nobody claimed of it. Returns how many sessions.
    pub fn drop_unclaimed(&mut self) -> usize {
        let dropped = self.table.drop_unclaimed();
        self.ports.drop_strangers(&self.table.memory);
        self.hops.drop_strangers(&self.table.memory);
        self.known.drop_strangers(&self.table.memory);
        dropped
    }

    /// Sessions there is room for.
    pub fn capacity(&self) -> usize {
        self.table.capacity()
    }

    /// Of these, how many are taken or not yet free again.
    pub fn slots_used(&self) -> usize {
        self.table.used()
    }

    pub fn open_port(&mut self, local: std::net::SocketAddr, kind: u32) {
        self.ports.open(&self.table.memory, local, kind);
    }

    pub fn close_port(&mut self, local: std::net::SocketAddr) {
        self.ports.close(&self.table.memory, local);
    }

    /// One more reason to know somebody, or one less.
    pub fn acquaint(&mut self, who: Acquainted, is_known: bool) {
        if is_known {
            self.known.meet(&self.table.memory, who);
        } else {
            self.known.part(&self.table.memory, who);
        }
    }

    /// How many are known, and for how many there was room.
    pub fn known(&self) -> (u64, u64) {
        self.known.count()
    }

    pub fn is_flow_port(&self, local: std::net::SocketAddr) -> bool {
        self.ports.is_flow(local)
    }

    pub fn get(&self, unit: Unit) -> Option<&KernelSession> {
        self.installed
            .get(&unit)
            .map(|installed| &installed.session)
    }

    pub fn units(&self) -> impl Iterator<Item = Unit> {
        self.installed.keys().copied()
    }

    /// Makes `session` live.
    pub fn install(
        &mut self,
        unit: Unit,
        session: KernelSession,
        network: &Network,
    ) -> Result<(), TableFault> {
        let indices = self
            .acquire(session.hops, network)
            .ok_or(TableFault::Full)?;
        let mut value = Session::new(session.legs, indices, session.deadlines);
        for (leg, meters) in value.legs.iter_mut().zip(session.meters) {
            leg.meters = meters;
        }
        let (slot, generation) = match self.table.install(&value, session.home) {
            Ok(live) => live,
            Err(fault) => {
                for hop in &session.hops {
                    self.hops.release(&self.table.memory, hop);
                }
                return Err(fault);
            }
        };
        for (leg, hint) in plain_legs(&session, slot, generation) {
            self.ports.add_leg(&self.table.memory, leg, hint);
        }
        let installed = Installed {
            slot,
            generation,
            session,
        };
        self.installed.insert(unit, installed);
        Ok(())
    }

    /// Ends it and returns its traffic by leg, and what was over a limit.
    pub fn remove(&mut self, unit: Unit) -> Option<([Traffic; 2], [u64; 2])> {
        let gone = self.installed.remove(&unit)?;
        let traffic = self.table.remove(gone.slot);
        let refused = self.table.refused(gone.slot);
        for (leg, hint) in plain_legs(&gone.session, gone.slot, gone.generation) {
            self.ports.remove_leg(&self.table.memory, leg, hint);
        }
        for hop in &gone.session.hops {
            self.hops.release(&self.table.memory, hop);
        }
        Some((traffic, refused))
    }

    pub fn set_deadlines(&mut self, unit: Unit, deadlines: [u64; 2]) {
        if let Some(installed) = self.installed.get_mut(&unit) {
            installed.session.deadlines = deadlines;
            self.table.set_deadlines(installed.slot, deadlines);
        }
    }

    pub fn set_meters(&mut self, unit: Unit, meters: [[u32; 2]; 2]) {
        if let Some(installed) = self.installed.get_mut(&unit) {
            installed.session.meters = meters;
            self.table.set_meters(installed.slot, meters);
        }
    }

    /// Whether anything is limited by this meter now.
    pub fn is_limited(&self, meter: u32) -> bool {
        let words = meter_words(self.table.memory.sessions(), meter).unwrap_or(&[]);
        // Per byte and per packet.
        words.iter().take(2).any(|word| word.load(Relaxed) != 0)
    }

    /// Packets over a limit, by the leg they arrived on.
    pub fn refused(&self, unit: Unit) -> [u64; 2] {
        let installed = self.installed.get(&unit);
        installed.map_or_else(Default::default, |installed| {
            self.table.refused(installed.slot)
        })
    }

    /// RTP, by the leg it arrives on; `None`: not kept.
    pub fn streams(&self, unit: Unit) -> [Option<Streams>; 2] {
        let installed = self.installed.get(&unit);
        [0, 1].map(|leg| self.table.streams(installed?.slot, leg))
    }

    /// Sends it by other next hops; without room for them it stays as it is.
    pub fn set_hops(&mut self, unit: Unit, hops: [HopKey; 2], network: &Network) {
        let Some(indices) = self.acquire(hops, network) else {
            return;
        };
        let memory = &self.table.memory;
        let Some(installed) = self.installed.get_mut(&unit) else {
            hops.iter().for_each(|hop| self.hops.release(memory, hop));
            return;
        };
        let old = std::mem::replace(&mut installed.session.hops, hops);
        for (leg, index) in indices.into_iter().enumerate() {
            self.table.set_next_hop(installed.slot, leg, index);
        }
        for hop in &old {
            self.hops.release(&self.table.memory, hop);
        }
    }

    /// What the kernel relayed, by the leg it arrived on.
    pub fn traffic(&self, unit: Unit) -> [Traffic; 2] {
        let installed = self.installed.get(&unit);
        installed.map_or_else(Default::default, |installed| {
            self.table.traffic(installed.slot)
        })
    }

    /// A next hop `unit` waits for.
    pub fn waiting_for(&self, unit: Unit) -> Option<HopKey> {
        let hops = self.get(unit)?.hops;
        hops.into_iter().find(|hop| !self.hops.is_resolved(hop))
    }

    /// Next hops in use, and whether each is resolved.
    pub fn hops(&self) -> impl Iterator<Item = (&HopKey, bool)> {
        self.hops
            .keys()
            .map(|hop| (hop, self.hops.is_resolved(hop)))
    }

    /// Writes what changed behind one neighbour.
    pub fn update_hops(&mut self, oif: u32, neighbour: IpAddr, network: &Network) {
        let memory = &self.table.memory;
        self.hops
            .update(memory, oif, neighbour, |key| network.next_hop(key));
    }

    /// Writes what changed anywhere.
    pub fn update_all_hops(&mut self, network: &Network) {
        self.hops
            .update_all(&self.table.memory, |key| network.next_hop(key));
    }

    /// Compares sessions with what was written, and repairs. Returns how much was wrong.
    pub fn verify_slots(&self, slots: Range<usize>) -> u64 {
        self.table.verify(slots)
    }

    /// The same for ports and next hops.
    pub fn verify_rest(&self) -> u64 {
        let memory = &self.table.memory;
        self.ports.verify(memory) + self.hops.verify(memory)
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

    fn acquire(&mut self, hops: [HopKey; 2], network: &Network) -> Option<[u32; 2]> {
        let memory = &self.table.memory;
        let mut acquire = |hop| self.hops.acquire(memory, hop, || network.next_hop(&hop));
        let first = acquire(hops[0])?;
        match acquire(hops[1]) {
            Some(second) => Some([first, second]),
            None => {
                self.hops.release(memory, &hops[0]);
                None
            }
        }
    }

    #[cfg(test)]
    pub fn memory(&self) -> &M {
        &self.table.memory
    }
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
