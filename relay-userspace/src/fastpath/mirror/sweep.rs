//! The mirror as a whole: compared with the kernel step by step, and as numbers.

use std::collections::BTreeSet;
use std::ops::Bound;
use std::time::Instant;

use super::{Mirror, Unit, add};
use crate::fastpath::clock::Clock;
use crate::fastpath::memory::Memory;
use crate::fastpath::{Gauges, SessionId};

/// How far a comparison of everything got.
#[derive(Debug, Default)]
pub struct Sweep {
    /// When it began; `None`: rates are left alone.
    now: Option<Instant>,
    started: bool,
    session: SessionId,
    slot: usize,
}

impl Sweep {
    pub fn at(now: Instant) -> Self {
        Self {
            now: Some(now),
            ..Self::default()
        }
    }
}

/// Sessions and slots compared under one hold of the lock.
const STEP: usize = 512;

impl<M: Memory> Mirror<M> {
    /// Takes the clock anew; deadlines follow with the next sweep.
    pub fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
        let (jiffies, at) = clock.seen();
        self.meter_clock.set(jiffies, at);
    }

    /// Goes on with a comparison of everything: what userspace wants against what is installed, and that against the
    /// memory. In steps, because the lock is held meanwhile. True once it is through.
    pub fn sweep(&mut self, sweep: &mut Sweep) -> bool {
        let range = (Bound::Excluded(sweep.session), Bound::Unbounded);
        let from = if sweep.started {
            range
        } else {
            (Bound::Unbounded, Bound::Unbounded)
        };
        let ids: Vec<SessionId> = self
            .sessions
            .range(from)
            .map(|(id, _)| *id)
            .take(STEP)
            .collect();
        let units: BTreeSet<Unit> = ids.iter().flat_map(|id| self.units_of(*id)).collect();
        self.refresh(units);
        if let Some(now) = sweep.now {
            for id in &ids {
                self.observe(*id, now);
            }
        }
        sweep.started = true;
        sweep.session = ids.last().copied().unwrap_or(sweep.session);
        self.drift += self.kernel.verify_slots(sweep.slot..sweep.slot + STEP);
        sweep.slot += STEP;
        let through = ids.len() < STEP && sweep.slot >= self.kernel.capacity();
        if through {
            self.drift += self.kernel.verify_rest();
        }
        through
    }

    /// A whole sweep at once.
    #[cfg(test)]
    pub fn reconcile(&mut self) {
        let mut sweep = Sweep::default();
        while !self.sweep(&mut sweep) {}
    }

    /// State of the mirror as numbers.
    pub fn gauges(&self) -> Gauges {
        let mut gauges = Gauges {
            wanted: self.sessions.len() as u64,
            capacity: self.kernel.capacity() as u64,
            slots_used: self.kernel.slots_used() as u64,
            failed_installs: self.failed_installs,
            drift: self.drift,
            traffic: self.gone,
            ..Gauges::default()
        };
        let (known, with_room) = self.kernel.known();
        gauges.known = known;
        gauges.known_without_room = known - with_room;
        for unit in self.kernel.units() {
            for leg in self.kernel.traffic(unit) {
                add(&mut gauges.traffic, leg);
            }
            if self.kernel.waiting_for(unit).is_none() {
                gauges.installed += unit.sessions().count() as u64;
            }
        }
        for (_, resolved) in self.kernel.hops() {
            gauges.next_hops += 1;
            gauges.next_hops_unresolved += u64::from(!resolved);
        }
        gauges
    }
}
