//! What must change in the kernel so that it holds what userspace wants. Pure.

use std::collections::BTreeMap;

use relay_common::Match;

use super::SessionId;
use super::next_hop::HopKey;

/// What is one session in the kernel: one of ours, or two that lead to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Unit {
    Single(SessionId),
    /// The lower id first.
    Pair(SessionId, SessionId),
}

impl Unit {
    /// Its sessions.
    pub fn sessions(self) -> impl Iterator<Item = SessionId> {
        let (first, second) = match self {
            Self::Single(id) => (id, None),
            Self::Pair(a, b) => (a, Some(b)),
        };
        std::iter::once(first).chain(second)
    }

    /// Whether `id` is one of them.
    pub fn has(self, id: SessionId) -> bool {
        self.sessions().any(|own| own == id)
    }
}

/// A session as the kernel is to hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KernelSession {
    pub legs: [Match; 2],
    pub hops: [HopKey; 2],
    /// `jiffies64`.
    pub deadlines: [u64; 2],
    /// Of whoever is at each leg, where they limit anything.
    pub meters: [[u32; 2]; 2],
    /// The meter whose slot it had best have, limited or not; 0: none.
    pub home: u32,
}

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Op {
    Remove(Unit),
    SetHops(Unit, [HopKey; 2]),
    SetDeadlines(Unit, [u64; 2]),
    SetMeters(Unit, [[u32; 2]; 2]),
    Install(Unit, KernelSession),
}

/// The changes that turn `installed` into `desired`, removals first so that their matches and slots are free.
pub fn diff(
    desired: &BTreeMap<Unit, KernelSession>,
    installed: &BTreeMap<Unit, KernelSession>,
) -> Vec<Op> {
    let mut ops = Vec::new();
    for (unit, old) in installed {
        match desired.get(unit) {
            Some(new) if new.legs == old.legs => {}
            _ => ops.push(Op::Remove(*unit)),
        }
    }
    for (unit, new) in desired {
        match installed.get(unit) {
            Some(old) if new.legs == old.legs => {
                if new.hops != old.hops {
                    ops.push(Op::SetHops(*unit, new.hops));
                }
                if new.meters != old.meters {
                    ops.push(Op::SetMeters(*unit, new.meters));
                }
                if new.deadlines != old.deadlines {
                    ops.push(Op::SetDeadlines(*unit, new.deadlines));
                }
            }
            _ => ops.push(Op::Install(*unit, *new)),
        }
    }
    ops
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn session() -> impl Strategy<Value = KernelSession> {
        (0u16..3, 1u32..3, 0u64..3, 0u32..3).prop_map(|(n, oif, deadline, meter)| {
            let at = |port| std::net::SocketAddr::from(([192, 0, 2, 1], port));
            let hop = HopKey {
                oif,
                neighbour: at(0).ip(),
                mtu: 1500,
            };
            KernelSession {
                legs: [
                    Match::new(at(n), at(3478), 0x4000),
                    Match::new(at(n), at(50000), 0),
                ],
                hops: [hop; 2],
                deadlines: [deadline; 2],
                meters: [[meter, 0]; 2],
                home: 0,
            }
        })
    }

    fn state() -> impl Strategy<Value = BTreeMap<Unit, KernelSession>> {
        prop::collection::btree_map(
            (0u64..6).prop_map(|n| Unit::Single(SessionId(n))),
            session(),
            0..6,
        )
    }

    proptest! {
        #[test]
        fn applying_the_difference_gives_what_is_desired(desired in state(), installed in state()) {
            let mut result = installed.clone();
            for op in diff(&desired, &installed) {
                match op {
                    Op::Remove(unit) => prop_assert!(result.remove(&unit).is_some()),
                    Op::SetHops(unit, hops) => result.get_mut(&unit).unwrap().hops = hops,
                    Op::SetMeters(unit, meters) => result.get_mut(&unit).unwrap().meters = meters,
                    Op::SetDeadlines(unit, deadlines) => result.get_mut(&unit).unwrap().deadlines = deadlines,
                    Op::Install(unit, session) => prop_assert!(result.insert(unit, session).is_none()),
                }
            }
            prop_assert_eq!(&result, &desired);
            prop_assert!(diff(&desired, &result).is_empty());
        }
    }
}
