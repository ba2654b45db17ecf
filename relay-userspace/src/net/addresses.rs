//! Which of our addresses relayed transport addresses and forward sessions get. Sends no packet.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::advertise::Advertise;
use crate::config;
use crate::turn::Family;

/// Documentation addresses (RFC 5737, 3849): routed like any public address, and nobody's.
const SOMEWHERE_V4: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);
const SOMEWHERE_V6: SocketAddr = SocketAddr::new(
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
    9,
);

/// The configured addresses and those of the default routes, as found at start.
#[derive(Debug, Clone, Default)]
pub struct RelayAddresses {
    pub configured: Vec<IpAddr>,
    pub default_route: Vec<IpAddr>,
    pub advertise: Advertise,
}

impl RelayAddresses {
    pub fn find(config: &config::RelayAddresses) -> RelayAddresses {
        let default_route = [SOMEWHERE_V4, SOMEWHERE_V6]
            .into_iter()
            .filter_map(|to| source_towards(to).ok());
        RelayAddresses {
            configured: config.addresses.clone(),
            default_route: default_route.collect(),
            advertise: Advertise::new(&config.advertise),
        }
    }

    /// For an allocation: the configured address, else the one the client contacted, else that of the default route.
    /// `None`: this host cannot relay in that family.
    pub fn for_allocation(&self, family: Family, contacted: IpAddr) -> Option<IpAddr> {
        let of_family = |address: &IpAddr| Family::of(*address) == family;
        let configured = self.configured.iter().copied().find(of_family);
        configured
            .or(Some(contacted).filter(of_family))
            .or_else(|| self.default_route.iter().copied().find(of_family))
    }

    /// For a forward: the configured address, else the one the routes towards the destination choose.
    pub fn for_destination(&self, destination: SocketAddr) -> io::Result<IpAddr> {
        let family = Family::of(destination.ip());
        match self
            .configured
            .iter()
            .find(|address| Family::of(**address) == family)
        {
            Some(address) => Ok(*address),
            None => source_towards(destination),
        }
    }

    /// What an operator sees as this relay's addresses.
    pub fn known(&self) -> Vec<IpAddr> {
        if self.configured.is_empty() {
            self.default_route.clone()
        } else {
            self.configured.clone()
        }
    }
}

/// Every address of this host's cards, loopback included.
pub fn local_addresses() -> Vec<IpAddr> {
    let Ok(cards) = nix::ifaddrs::getifaddrs() else {
        return Vec::new();
    };
    let ip = |address: nix::sys::socket::SockaddrStorage| {
        let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
    };
    let mut addresses: Vec<IpAddr> = cards.filter_map(|card| card.address.and_then(ip)).collect();
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// The source address the kernel's routes choose for `to`.
fn source_towards(to: SocketAddr) -> io::Result<IpAddr> {
    let any: IpAddr = if to.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(to)?;
    Ok(socket.local_addr()?.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONTACTED: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 7));
    const OTHER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 8));
    const SIX: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

    #[test]
    fn configured_before_contacted_before_default_route() {
        let all = RelayAddresses {
            configured: vec![SIX, OTHER],
            default_route: vec![CONTACTED],
            ..RelayAddresses::default()
        };
        assert_eq!(all.for_allocation(Family::V4, CONTACTED), Some(OTHER));
        let none = RelayAddresses {
            configured: vec![SIX],
            default_route: vec![OTHER],
            ..RelayAddresses::default()
        };
        assert_eq!(none.for_allocation(Family::V4, CONTACTED), Some(CONTACTED));
        assert_eq!(none.for_allocation(Family::V4, SIX), Some(OTHER));
    }

    #[test]
    fn a_family_without_any_address_is_not_relayed() {
        assert_eq!(
            RelayAddresses::default().for_allocation(Family::V6, CONTACTED),
            None
        );
    }

    #[test]
    fn a_forward_leaves_by_the_route_to_its_destination() {
        let here = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 9);
        assert_eq!(
            RelayAddresses::default()
                .for_destination(here)
                .expect("loopback"),
            here.ip()
        );
    }
}
