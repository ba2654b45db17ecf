//! All allocations of one worker, found by 5-tuple, by relayed address and by id. Keeps the indexes true, nothing more.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::{Index, IndexMut};
use std::time::Instant;

use slab::Slab;

use super::allocation::Allocation;
use super::command::Family;
use super::hash::Keyed;
use super::identity::{AllocationId, FiveTuple};

/// Where an allocation is while it lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Slot(usize);

#[derive(Debug)]
pub(super) struct Table {
    allocations: Slab<Allocation>,
    by_tuple: HashMap<FiveTuple, Slot, Keyed>,
    by_relayed: HashMap<SocketAddr, Slot, Keyed>,
    by_id: HashMap<AllocationId, Slot, Keyed>,
    by_former: HashMap<FiveTuple, Slot, Keyed>,
}

impl Table {
    pub fn new(hash: Keyed) -> Self {
        Self {
            allocations: Slab::new(),
            by_tuple: HashMap::with_hasher(hash),
            by_relayed: HashMap::with_hasher(hash),
            by_id: HashMap::with_hasher(hash),
            by_former: HashMap::with_hasher(hash),
        }
    }

    pub fn of_client(&self, tuple: &FiveTuple) -> Option<Slot> {
        self.by_tuple.get(tuple).copied()
    }

    pub fn of_relayed(&self, relayed: SocketAddr) -> Option<Slot> {
        self.by_relayed.get(&relayed).copied()
    }

    pub fn of_id(&self, id: AllocationId) -> Option<Slot> {
        self.by_id.get(&id).copied()
    }

    pub fn insert(&mut self, allocation: Allocation) -> Slot {
        let (tuple, id, relayed) = (allocation.tuple, allocation.id, allocation.held);
        let slot = Slot(self.allocations.insert(allocation));
        self.by_tuple.insert(tuple, slot);
        self.by_id.insert(id, slot);
        for relayed in relayed.iter() {
            self.by_relayed.insert(relayed, slot);
        }
        slot
    }

    pub fn len(&self) -> usize {
        self.allocations.len()
    }

    pub fn add_relayed(&mut self, slot: Slot, relayed: SocketAddr) {
        self[slot].held.insert(relayed);
        let replaced = self.by_relayed.insert(relayed, slot);
        debug_assert!(replaced.is_none(), "{relayed} was bound twice");
    }

    pub fn remove_relayed(&mut self, slot: Slot, family: Family) -> Option<SocketAddr> {
        let relayed = self[slot].held.remove(family)?;
        self.by_relayed.remove(&relayed);
        Some(relayed)
    }

    /// Whose 5-tuple it was until lately.
    pub fn of_former(&self, tuple: &FiveTuple) -> Option<Slot> {
        self.by_former.get(tuple).copied()
    }

    /// The 5-tuple it had.
    pub fn move_client(&mut self, slot: Slot, to: FiveTuple) -> FiveTuple {
        let from = std::mem::replace(&mut self[slot].tuple, to);
        self.by_tuple.remove(&from);
        self.by_tuple.insert(to, slot);
        from
    }

    pub fn set_former(&mut self, slot: Slot, former: FiveTuple, until: Instant) {
        if let Some(mobility) = &mut self[slot].mobility {
            mobility.former = Some((former, until));
            self.by_former.insert(former, slot);
        }
    }

    /// Until when it was to be taken from, if that was later.
    pub fn shorten_former(&mut self, slot: Slot, end: Instant) -> Option<Instant> {
        let (_, until) = self[slot].mobility.as_mut()?.former.as_mut()?;
        (*until > end).then(|| std::mem::replace(until, end))
    }

    /// Which it was, and until when it would have been taken from.
    pub fn take_former(&mut self, slot: Slot) -> Option<(FiveTuple, Instant)> {
        let (former, until) = self[slot].mobility.as_mut()?.former.take()?;
        self.by_former.remove(&former);
        Some((former, until))
    }

    pub fn remove(&mut self, slot: Slot) -> Allocation {
        let allocation = self.allocations.remove(slot.0);
        self.by_tuple.remove(&allocation.tuple);
        self.by_id.remove(&allocation.id);
        for relayed in allocation.held.iter() {
            self.by_relayed.remove(&relayed);
        }
        allocation
    }

    pub fn iter(&self) -> impl Iterator<Item = (Slot, &Allocation)> + '_ {
        self.allocations
            .iter()
            .map(|(slot, allocation)| (Slot(slot), allocation))
    }

    #[cfg(test)]
    pub fn index_sizes(&self) -> [usize; 5] {
        [
            self.allocations.len(),
            self.by_tuple.len(),
            self.by_id.len(),
            self.by_relayed.len(),
            self.by_former.len(),
        ]
    }
}

impl Index<Slot> for Table {
    type Output = Allocation;

    fn index(&self, slot: Slot) -> &Allocation {
        &self.allocations[slot.0]
    }
}

impl IndexMut<Slot> for Table {
    fn index_mut(&mut self, slot: Slot) -> &mut Allocation {
        &mut self.allocations[slot.0]
    }
}
