//! What the mirror knows of one session: where it runs, what the kernel relayed of it. Changes nothing but rates.

use std::time::Instant;

use relay_common::Streams;

use super::{Mirror, credit, is_second};
use crate::fastpath::memory::Memory;
use crate::fastpath::{LegTraffic, Placement, SessionId};
use crate::tally::Reading;

impl<M: Memory> Mirror<M> {
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
            if self.kernel.get(unit).is_none() {
                continue;
            }
            let (traffic, refused) = (self.kernel.traffic(unit), self.kernel.refused(unit));
            credit(&mut placement.traffic, unit, id, traffic, refused);
            let waiting = self.kernel.waiting_for(unit);
            placement.in_kernel = waiting.is_none();
            placement.reason = waiting.map(|hop| {
                let card = self.network.name(hop.oif);
                format!("the neighbour {} on {card} is not resolved", hop.neighbour)
            });
        }
        placement
    }

    /// RTP of `id`, by the leg packets arrive on; `None` where it is not kept.
    pub fn streams(&self, id: SessionId) -> [Option<Streams>; 2] {
        let units = self.units_of(id).into_iter();
        let mut held = units.filter(|unit| unit.has(id) && self.kernel.get(*unit).is_some());
        let Some(unit) = held.next() else {
            return [None, None];
        };
        let [first, second] = self.kernel.streams(unit);
        match is_second(unit, id) {
            false => [first, second],
            true => [second, first],
        }
    }

    /// Looks at what the kernel relayed of `id` since the last look.
    pub fn observe(&mut self, id: SessionId, now: Instant) -> [Reading; 2] {
        let LegTraffic { near, far, .. } = self.session(id).traffic;
        let Some(entry) = self.sessions.get_mut(&id) else {
            return Default::default();
        };
        entry.tallies[0].observe(now, near);
        entry.tallies[1].observe(now, far);
        entry.tallies.map(|tally| tally.read(now))
    }
}
