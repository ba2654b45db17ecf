//! Paths narrower than their first link, as ICMP errors told: the kernel path must not send into them what does not fit.
//! The kernel learns the same, but not from every socket of ours, and tells nobody when it does.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use super::{Network, RouteKey, RouteUse};
use crate::fastpath::SessionId;

/// As Linux keeps it (net.ipv4.route.mtu_expires); RFC 1191 §6.3 asks for at least 10 minutes.
const LIFETIME: Duration = Duration::from_secs(600);
/// net.ipv4.route.min_pmtu: forged errors shall not make packets tiny.
const LEAST_V4: u32 = 552;
/// RFC 8200 §5.
const LEAST_V6: u32 = 1280;
/// Each MTU behind a neighbour is a next hop of its own: few of them, whoever invents MTUs.
const STEP: u32 = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Narrow {
    pub mtu: u16,
    until: Instant,
}

impl Network {
    /// An ICMP error says that packets to `remote` fit only so much. Returns the sessions concerned.
    pub fn narrow(&mut self, remote: IpAddr, mtu: u32, now: Instant) -> Vec<SessionId> {
        let least = if remote.is_ipv4() { LEAST_V4 } else { LEAST_V6 };
        let mtu = mtu.max(least) / STEP * STEP;
        let Ok(mtu) = u16::try_from(mtu) else {
            return Vec::new();
        };
        let until = now + LIFETIME;
        let mut concerned = Vec::new();
        for route in self.routes_to(remote) {
            let known = route.narrow.map_or(u16::MAX, |narrow| narrow.mtu);
            if mtu <= known {
                route.narrow = Some(Narrow { mtu, until });
            }
            if mtu < known {
                concerned.extend(&route.users);
            }
        }
        concerned
    }

    /// Forgets what is too old to be believed. Returns the sessions concerned.
    pub fn widen(&mut self, now: Instant) -> Vec<SessionId> {
        let mut concerned = Vec::new();
        for route in self.routes.values_mut() {
            if route.narrow.is_some_and(|narrow| narrow.until <= now) {
                route.narrow = None;
                concerned.extend(&route.users);
            }
        }
        concerned
    }

    fn routes_to(&mut self, remote: IpAddr) -> impl Iterator<Item = &mut RouteUse> {
        let key = |local| RouteKey { remote, local };
        let first = key(Ipv4Addr::UNSPECIFIED.into());
        let last = key(Ipv6Addr::from_bits(u128::MAX).into());
        self.routes.range_mut(first..=last).map(|(_, route)| route)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{key, network};
    use super::*;

    #[test]
    fn a_narrow_path_narrows_its_next_hop_until_it_is_forgotten() {
        let (mut network, now) = (network(2, 1400), Instant::now());
        let mtu = |network: &Network| network.hop(&key()).expect("a route").mtu;
        let both = [SessionId(1), SessionId(2)];
        let remote = key().remote;
        assert_eq!(network.narrow(remote, 1300, now), both);
        assert_eq!(mtu(&network), 1296);
        assert_eq!(network.narrow(remote, 1350, now), []);
        assert_eq!(network.narrow([192, 0, 2, 9].into(), 1000, now), []);
        assert_eq!(network.narrow(remote, 0, now), both);
        assert_eq!(mtu(&network), 552);
        assert_eq!(network.widen(now), []);
        assert_eq!(network.widen(now + LIFETIME), both);
        assert_eq!(mtu(&network), 1400);
        assert_eq!(network.narrow(remote, 9000, now), both);
        assert_eq!(mtu(&network), 1400);
    }
}
