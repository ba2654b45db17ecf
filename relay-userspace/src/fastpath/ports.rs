//! `PORTS`: which local ports are ours, and the shortcut to a session that has a port for itself.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::Ordering::{Relaxed, Release};

use foldhash::quality::RandomState;
use relay_common::{Match, PORT_IS_CONTROL, PORT_IS_FLOW, PORT_IS_OPEN, port_index};

use super::memory::{Memory, PORT_WORDS};

/// A session's plain-UDP leg, as a port's shortcut names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hint {
    pub slot: u32,
    pub generation: u32,
    pub leg: u32,
}

/// Who uses which port.
#[derive(Default)]
pub struct Ports {
    opened: HashMap<SocketAddr, Vec<u32>, RandomState>,
    uses: HashMap<u32, PortUse, RandomState>,
}

#[derive(Default)]
struct PortUse {
    control: u32,
    flow: u32,
    /// Of these, where strangers may begin.
    open: u32,
    plain: BTreeSet<Hint>,
}

impl Ports {
    /// Counts one more use of `local`'s port as `kind`, `PORT_IS_*` bits.
    pub fn open(&mut self, memory: &impl Memory, local: SocketAddr, kind: u32) {
        self.opened.entry(local).or_default().push(kind);
        let index = index_of(local);
        let port = self.uses.entry(index).or_default();
        port.count(kind, |count| count + 1);
        port.write(memory, index);
    }

    /// Takes back the last `open` of `local`.
    pub fn close(&mut self, memory: &impl Memory, local: SocketAddr) {
        let Some(kinds) = self.opened.get_mut(&local) else {
            return;
        };
        let kind = kinds.pop().unwrap_or(0);
        if kinds.is_empty() {
            self.opened.remove(&local);
        }
        self.change(memory, index_of(local), |port| {
            port.count(kind, |count| count.saturating_sub(1));
        });
    }

    /// Whether plain UDP of a session may arrive at exactly this address.
    pub fn is_flow(&self, local: SocketAddr) -> bool {
        self.opened
            .get(&local)
            .is_some_and(|kinds| kinds.iter().any(|kind| kind & PORT_IS_FLOW != 0))
    }

    /// A plain-UDP leg became live.
    pub fn add_leg(&mut self, memory: &impl Memory, leg: &Match, hint: Hint) {
        self.change(memory, index_of_leg(leg), |port| {
            port.plain.insert(hint);
        });
    }

    /// A plain-UDP leg is about to end.
    pub fn remove_leg(&mut self, memory: &impl Memory, leg: &Match, hint: Hint) {
        self.change(memory, index_of_leg(leg), |port| {
            port.plain.remove(&hint);
        });
    }

    /// Compares with what was written, and repairs. Returns words repaired.
    pub fn verify(&self, memory: &impl Memory) -> u64 {
        let mut drift = 0;
        for (index, port) in &self.uses {
            let base = *index as usize * PORT_WORDS;
            let words = port.words();
            if (0..2).any(|i| memory.ports()[base + i].load(Relaxed) != words[i]) {
                port.write(memory, *index);
                drift += 1;
            }
        }
        drift
    }

    /// Closes the ports an earlier process opened and this one did not.
    pub fn drop_strangers(&self, memory: &impl Memory) {
        for index in (0..relay_common::PORT_ENTRIES).filter(|index| !self.uses.contains_key(index))
        {
            let cells = &memory.ports()[index as usize * PORT_WORDS..][..PORT_WORDS];
            for cell in cells.iter().rev().filter(|cell| cell.load(Relaxed) != 0) {
                cell.store(0, Release);
            }
        }
    }

    fn change(&mut self, memory: &impl Memory, index: u32, change: impl FnOnce(&mut PortUse)) {
        let port = self.uses.entry(index).or_default();
        change(port);
        port.write(memory, index);
        if port.control == 0 && port.flow == 0 && port.plain.is_empty() {
            self.uses.remove(&index);
        }
    }
}

impl PortUse {
    fn count(&mut self, kind: u32, change: impl Fn(u32) -> u32) {
        for (bit, count) in [
            (PORT_IS_CONTROL, &mut self.control),
            (PORT_IS_FLOW, &mut self.flow),
            (PORT_IS_OPEN, &mut self.open),
        ] {
            if kind & bit != 0 {
                *count = change(*count);
            }
        }
    }

    fn words(&self) -> [u64; 2] {
        let mut kind = 0;
        if self.control > 0 {
            kind |= PORT_IS_CONTROL;
        }
        if self.flow > 0 {
            kind |= PORT_IS_FLOW;
        }
        if self.open > 0 {
            kind |= PORT_IS_OPEN;
        }
        // Only a port with one session has a shortcut: where several share it, most packets would miss it first.
        match (self.plain.len(), self.plain.first()) {
            (1, Some(hint)) => [pair(kind, hint.slot), pair(hint.generation, hint.leg)],
            _ => [pair(kind, 0), 0],
        }
    }

    /// Generation 0 first: a slot is never seen with the generation of another one.
    fn write(&self, memory: &impl Memory, index: u32) {
        let cells = &memory.ports()[index as usize * PORT_WORDS..][..PORT_WORDS];
        let words = self.words();
        if cells[1].load(Relaxed) != words[1] {
            cells[1].store(0, Release);
        }
        cells[0].store(words[0], Release);
        cells[1].store(words[1], Release);
    }
}

fn index_of(local: SocketAddr) -> u32 {
    port_index(local.is_ipv6(), local.port())
}

fn index_of_leg(leg: &Match) -> u32 {
    port_index(
        leg.family == relay_common::Family::V6 as u16,
        u16::from_be(leg.local_port),
    )
}

/// Two 32-bit fields in memory order.
fn pair(first: u32, second: u32) -> u64 {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&first.to_ne_bytes());
    bytes[4..].copy_from_slice(&second.to_ne_bytes());
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fastpath::memory::PlainMemory;

    fn entry(memory: &PlainMemory, index: u32) -> [u32; 4] {
        let half = |i: usize| {
            let bytes = memory.ports()[index as usize * 2 + i]
                .load(Relaxed)
                .to_ne_bytes();
            [
                u32::from_ne_bytes(bytes[..4].try_into().unwrap()),
                u32::from_ne_bytes(bytes[4..].try_into().unwrap()),
            ]
        };
        let (a, b) = (half(0), half(1));
        [a[0], a[1], b[0], b[1]]
    }

    #[test]
    fn a_port_is_ours_until_its_last_user_closes_it() {
        let (memory, mut ports) = (PlainMemory::new(1, 4), Ports::default());
        let local: SocketAddr = "192.0.2.1:3478".parse().unwrap();
        let other: SocketAddr = "192.0.2.2:3478".parse().unwrap();
        ports.open(&memory, local, PORT_IS_CONTROL);
        ports.open(&memory, other, PORT_IS_FLOW);
        assert_eq!(entry(&memory, 3478)[0], PORT_IS_CONTROL | PORT_IS_FLOW);
        assert!(ports.is_flow(other) && !ports.is_flow(local));
        ports.close(&memory, local);
        assert_eq!(entry(&memory, 3478)[0], PORT_IS_FLOW);
        ports.close(&memory, local);
        assert_eq!(entry(&memory, 3478)[0], PORT_IS_FLOW);
        ports.close(&memory, other);
        assert_eq!(entry(&memory, 3478), [0; 4]);
        assert!(ports.uses.is_empty());
    }

    #[test]
    fn only_a_port_with_exactly_one_session_has_a_shortcut() {
        let (memory, mut ports) = (PlainMemory::new(1, 4), Ports::default());
        let local: SocketAddr = "[2001:db8::1]:50000".parse().unwrap();
        let leg = Match::new("[2001:db8::2]:9".parse().unwrap(), local, 0);
        let hint = |slot| Hint {
            slot,
            generation: 7,
            leg: 1,
        };
        let index = port_index(true, 50000);
        ports.open(&memory, local, PORT_IS_FLOW);
        ports.add_leg(&memory, &leg, hint(3));
        assert_eq!(entry(&memory, index), [PORT_IS_FLOW, 3, 7, 1]);
        ports.add_leg(&memory, &leg, hint(4));
        assert_eq!(entry(&memory, index), [PORT_IS_FLOW, 0, 0, 0]);
        ports.remove_leg(&memory, &leg, hint(3));
        assert_eq!(entry(&memory, index), [PORT_IS_FLOW, 4, 7, 1]);
        assert_eq!(ports.verify(&memory), 0);
    }
}
