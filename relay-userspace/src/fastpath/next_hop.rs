//! Where frames go next: routes, neighbours and links as last heard, and what follows for `NEXT_HOPS`. No I/O.

mod narrow;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use relay_common::{NextHop, VLAN_NONE};

use super::SessionId;
use narrow::Narrow;

/// The attached cards.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cards {
    /// Interface index to index in `CARDS`.
    pub numbers: HashMap<u32, u32>,
    /// All of them are in native mode.
    pub native: bool,
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    pub name: String,
    /// `None`: not Ethernet.
    pub mac: Option<[u8; 6]>,
    pub mtu: u32,
    pub up: bool,
    /// Card below and id, of a VLAN interface.
    pub vlan: Option<(u32, u16)>,
}

/// A neighbour whose MAC address is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbour {
    pub mac: [u8; 6],
    /// Nobody confirmed it for a while; traffic in the kernel path never does.
    pub stale: bool,
}

/// What a route lookup is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteKey {
    pub remote: IpAddr,
    pub local: IpAddr,
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// Through an interface, to a gateway or to the remote itself; `mtu` 0: the link's.
    Via {
        oif: u32,
        neighbour: IpAddr,
        mtu: u16,
    },
    /// An address of this host.
    Local,
    /// Our own end is none: it was removed.
    NotOurs,
    /// Nowhere, in the kernel's words.
    None(String),
}

/// Identity of a next hop: all sessions behind one gateway share it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HopKey {
    pub oif: u32,
    pub neighbour: IpAddr,
    /// The path's, 0: the link's.
    pub mtu: u16,
}

/// Why there is no next hop towards a remote.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    #[error("the route to {0} is being looked up")]
    Pending(IpAddr),
    #[error("{0} is on this host")]
    Local(IpAddr),
    #[error("{0} is not an address of this host now")]
    NotOurs(IpAddr),
    #[error("no route to {0}: {1}")]
    NoRoute(IpAddr, String),
    #[error("{remote} is reached by {card}, which is not among the attached cards")]
    Unattached { remote: IpAddr, card: String },
}

/// All that is known of the network.
#[derive(Default)]
pub struct Network {
    cards: Cards,
    links: HashMap<u32, Link>,
    neighbours: HashMap<(u32, IpAddr), Neighbour>,
    routes: BTreeMap<RouteKey, RouteUse>,
    wanted: BTreeSet<RouteKey>,
}

#[derive(Default)]
struct RouteUse {
    users: BTreeSet<SessionId>,
    route: Option<Route>,
    narrow: Option<Narrow>,
}

impl Network {
    /// Nothing known yet but the attached cards.
    pub fn new(cards: Cards) -> Self {
        Self {
            cards,
            ..Self::default()
        }
    }

    /// `id` needs this route. True if it has to be looked up.
    pub fn use_route(&mut self, key: RouteKey, id: SessionId) -> bool {
        let route = self.routes.entry(key).or_default();
        route.users.insert(id);
        route.route.is_none() && self.wanted.insert(key)
    }

    /// `id` no longer does.
    pub fn drop_route(&mut self, key: RouteKey, id: SessionId) {
        if let Some(route) = self.routes.get_mut(&key) {
            route.users.remove(&id);
            if route.users.is_empty() {
                self.routes.remove(&key);
                self.wanted.remove(&key);
            }
        }
    }

    /// At most `limit` routes to look up now, and whether there are more.
    pub fn take_wanted(&mut self, limit: usize) -> (Vec<RouteKey>, bool) {
        let taken: Vec<RouteKey> = self.wanted.iter().take(limit).copied().collect();
        for key in &taken {
            self.wanted.remove(key);
        }
        (taken, !self.wanted.is_empty())
    }

    /// Something about routing changed: every route has to be looked up again; until then the old ones stand.
    pub fn doubt_routes(&mut self) {
        self.wanted.extend(self.routes.keys());
    }

    /// Returns the sessions concerned, none if nothing changed.
    pub fn set_route(&mut self, key: RouteKey, route: Route) -> Vec<SessionId> {
        match self.routes.get_mut(&key) {
            Some(known) if known.route.as_ref() != Some(&route) => {
                known.route = Some(route);
                known.users.iter().copied().collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether every route in use was looked up at least once.
    pub fn knows_all_routes(&self) -> bool {
        self.routes.values().all(|known| known.route.is_some())
    }

    /// `None`: the link is gone. True if that is news.
    pub fn set_link(&mut self, index: u32, link: Option<Link>) -> bool {
        match link {
            Some(link) => self.links.insert(index, link.clone()) != Some(link),
            None => self.links.remove(&index).is_some(),
        }
    }

    /// `None`: not resolved. True if its MAC address changed.
    pub fn set_neighbour(&mut self, oif: u32, ip: IpAddr, neighbour: Option<Neighbour>) -> bool {
        let old = match neighbour {
            Some(neighbour) => self.neighbours.insert((oif, ip), neighbour),
            None => self.neighbours.remove(&(oif, ip)),
        };
        old.map(|n| n.mac) != neighbour.map(|n| n.mac)
    }

    /// Other cards are attached now.
    pub fn set_cards(&mut self, cards: Cards) {
        self.cards = cards;
    }

    /// Before all links and neighbours are read anew.
    pub fn forget_links_and_neighbours(&mut self) {
        self.links.clear();
        self.neighbours.clear();
    }

    /// The next hop towards a remote, resolved or not.
    pub fn hop(&self, key: &RouteKey) -> Result<HopKey, Obstacle> {
        let remote = key.remote;
        let used = self.routes.get(key);
        match used.and_then(|used| used.route.as_ref()) {
            None => Err(Obstacle::Pending(remote)),
            Some(Route::Local) => Err(Obstacle::Local(remote)),
            Some(Route::NotOurs) => Err(Obstacle::NotOurs(key.local)),
            Some(Route::None(why)) => Err(Obstacle::NoRoute(remote, why.clone())),
            Some(Route::Via {
                oif,
                neighbour,
                mtu,
            }) => {
                if self.card(*oif).is_none() {
                    let card = match self.links.get(oif) {
                        Some(link) => link.name.clone(),
                        None => format!("interface {oif}"),
                    };
                    return Err(Obstacle::Unattached { remote, card });
                }
                let narrow = used.and_then(|used| used.narrow).map(|narrow| narrow.mtu);
                let mtus = [Some(*mtu).filter(|mtu| *mtu != 0), narrow];
                Ok(HopKey {
                    oif: *oif,
                    neighbour: *neighbour,
                    mtu: mtus.into_iter().flatten().min().unwrap_or(0),
                })
            }
        }
    }

    /// What the kernel is to know of a next hop; interface 0 while it cannot be used.
    pub fn next_hop(&self, key: &HopKey) -> NextHop {
        let resolved = || {
            let link = self.links.get(&key.oif).filter(|link| link.up)?;
            let (ifindex, card) = self.card(key.oif)?;
            let neighbour = self.neighbours.get(&(key.oif, key.neighbour))?;
            let mtu = match key.mtu {
                0 => link.mtu,
                mtu => link.mtu.min(u32::from(mtu)),
            };
            Some(NextHop {
                destination: neighbour.mac,
                source: link.mac?,
                vlan: link.vlan.map_or(VLAN_NONE, |(_, id)| id),
                mtu: u16::try_from(mtu).unwrap_or(u16::MAX),
                ifindex,
                card,
                completes: self.cards.native.into(),
                ..NextHop::default()
            })
        };
        resolved().unwrap_or_default()
    }

    /// Whether a neighbour should be asked for a sign of life.
    pub fn is_stale(&self, key: &HopKey) -> bool {
        let known = self.neighbours.get(&(key.oif, key.neighbour));
        known.is_some_and(|neighbour| neighbour.stale)
    }

    /// Whether the kernel should be made to resolve a neighbour. Never one it has: being asked to use a permanent
    /// one, it forgets it (`__neigh_update` with `NEIGH_UPDATE_F_USE`).
    pub fn lacks_neighbour(&self, key: &HopKey) -> bool {
        let up = self.links.get(&key.oif).is_some_and(|link| link.up);
        up && !self.neighbours.contains_key(&(key.oif, key.neighbour))
    }

    /// Name of an interface for a human.
    pub fn name(&self, oif: u32) -> String {
        match self.links.get(&oif) {
            Some(link) => link.name.clone(),
            None => format!("interface {oif}"),
        }
    }

    /// The attached card frames to `oif` leave by, as interface and index in `CARDS`.
    fn card(&self, oif: u32) -> Option<(u32, u32)> {
        let below = match self.links.get(&oif).and_then(|link| link.vlan) {
            Some((parent, _)) => parent,
            None => oif,
        };
        self.cards.numbers.get(&below).map(|card| (below, *card))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: &str = "198.51.100.7";
    const GATEWAY: [u8; 6] = [2, 0, 0, 0, 0, 9];

    fn link(name: &str, vlan: Option<(u32, u16)>) -> Link {
        Link {
            name: name.to_owned(),
            mac: Some([2, 0, 0, 0, 0, 1]),
            mtu: 1500,
            up: true,
            vlan,
        }
    }

    pub(super) fn key() -> RouteKey {
        RouteKey {
            remote: PEER.parse().unwrap(),
            local: "192.0.2.1".parse().unwrap(),
        }
    }

    pub(super) fn network(oif: u32, mtu: u16) -> Network {
        let mut network = Network::new(Cards {
            numbers: HashMap::from([(2, 0)]),
            native: true,
        });
        network.set_link(2, Some(link("eth0", None)));
        network.set_link(3, Some(link("eth1", None)));
        network.set_link(4, Some(link("eth0.100", Some((2, 100)))));
        assert!(network.use_route(key(), SessionId(1)));
        assert!(!network.use_route(key(), SessionId(2)));
        assert_eq!(network.take_wanted(9), (vec![key()], false));
        let neighbour = "192.0.2.254".parse().unwrap();
        let route = Route::Via {
            oif,
            neighbour,
            mtu,
        };
        assert_eq!(
            network.set_route(key(), route.clone()),
            [SessionId(1), SessionId(2)]
        );
        assert_eq!(network.set_route(key(), route), []);
        network
    }

    #[test]
    fn a_next_hop_is_usable_exactly_while_its_neighbour_is_known_and_its_link_is_up() {
        let mut network = network(2, 1400);
        let hop = network.hop(&key()).unwrap();
        assert_eq!(network.next_hop(&hop).ifindex, 0);
        assert!(network.lacks_neighbour(&hop) && !network.is_stale(&hop));
        let neighbour = Neighbour {
            mac: GATEWAY,
            stale: true,
        };
        assert!(network.set_neighbour(2, hop.neighbour, Some(neighbour)));
        assert!(!network.set_neighbour(2, hop.neighbour, Some(neighbour)));
        let next = network.next_hop(&hop);
        assert_eq!((next.destination, next.ifindex, next.card), (GATEWAY, 2, 0));
        assert_eq!((next.vlan, next.mtu), (VLAN_NONE, 1400));
        assert_eq!(next.completes, 1);
        network.set_link(
            2,
            Some(Link {
                up: false,
                ..link("eth0", None)
            }),
        );
        assert_eq!(network.next_hop(&hop).ifindex, 0);
        assert!(!network.lacks_neighbour(&hop) && network.is_stale(&hop));
    }

    #[test]
    fn a_vlan_leaves_by_the_card_below_it() {
        let mut network = network(4, 0);
        let hop = network.hop(&key()).unwrap();
        let neighbour = Neighbour {
            mac: GATEWAY,
            stale: false,
        };
        network.set_neighbour(4, hop.neighbour, Some(neighbour));
        let next = network.next_hop(&hop);
        assert_eq!((next.ifindex, next.vlan, next.mtu), (2, 100, 1500));
    }

    #[test]
    fn what_cannot_be_reached_from_the_kernel_says_why() {
        let network = network(3, 0);
        let text = network.hop(&key()).unwrap_err().to_string();
        assert_eq!(
            text,
            "198.51.100.7 is reached by eth1, which is not among the attached cards"
        );
    }

    #[test]
    fn routes_nobody_uses_are_forgotten() {
        let mut network = network(2, 0);
        network.drop_route(key(), SessionId(1));
        network.doubt_routes();
        assert_eq!(network.take_wanted(9), (vec![key()], false));
        network.drop_route(key(), SessionId(2));
        network.doubt_routes();
        assert_eq!(network.take_wanted(9), (vec![], false));
        assert_eq!(network.hop(&key()), Err(Obstacle::Pending(key().remote)));
    }
}
