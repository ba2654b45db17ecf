//! What the resolver tells the mirror about the network, and what it asks.

use std::net::IpAddr;
use std::time::Instant;

use super::{Mirror, routes_of};
use crate::fastpath::SessionId;
use crate::fastpath::installer::Retired;
use crate::fastpath::memory::Memory;
use crate::fastpath::next_hop::{Cards, HopKey, Link, Neighbour, Route, RouteKey};

/// Routes looked up before anything else gets its turn.
const STEP: usize = 512;

impl<M: Memory> Mirror<M> {
    /// Some of the routes to look up; the resolver is woken again for the rest.
    pub fn take_wanted_routes(&mut self) -> Vec<RouteKey> {
        let (routes, more) = self.network.take_wanted(STEP);
        self.needs_resolver |= more;
        routes
    }

    pub fn doubt_routes(&mut self) {
        self.network.doubt_routes();
        for id in self.network.widen(Instant::now()) {
            self.refresh(self.units_of(id));
        }
    }

    /// What fits on the way to a remote, as an ICMP error says.
    pub fn narrow(&mut self, remote: IpAddr, mtu: u32) {
        for id in self.network.narrow(remote, mtu, Instant::now()) {
            self.refresh(self.units_of(id));
        }
    }

    pub fn set_route(&mut self, key: RouteKey, route: Route) {
        for id in self.network.set_route(key, route) {
            self.refresh(self.units_of(id));
        }
    }

    /// What fits on the way to the peer of a session, as far as is known.
    pub fn far_mtu(&self, id: SessionId) -> Option<u16> {
        let [_, far] = routes_of(&self.sessions.get(&id)?.spec);
        let hop = self.network.hop(&far).ok()?;
        Some(self.network.next_hop(&hop).mtu).filter(|mtu| *mtu != 0)
    }

    pub fn set_link(&mut self, index: u32, link: Option<Link>) {
        if self.network.set_link(index, link) {
            self.kernel.update_all_hops(&self.network);
        }
    }

    /// Other cards are attached now. Sessions follow with the next sweep.
    pub fn set_cards(&mut self, cards: Cards) {
        self.network.set_cards(cards);
        self.kernel.update_all_hops(&self.network);
    }

    pub fn set_neighbour(&mut self, oif: u32, ip: IpAddr, neighbour: Option<Neighbour>) {
        if self.network.set_neighbour(oif, ip, neighbour) {
            self.kernel.update_hops(oif, ip, &self.network);
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
        self.kernel.update_all_hops(&self.network);
    }

    /// Next hops in use whose neighbour the kernel has to resolve.
    pub fn unresolved(&self) -> Vec<HopKey> {
        let hops = self.kernel.hops().map(|(hop, _)| *hop);
        hops.filter(|hop| self.network.lacks_neighbour(hop))
            .collect()
    }

    /// Next hops in use that nobody confirmed for a while.
    pub fn stale(&self) -> Vec<HopKey> {
        let hops = self.kernel.hops().map(|(hop, _)| *hop);
        hops.filter(|hop| self.network.is_stale(hop)).collect()
    }

    pub fn take_retired(&mut self) -> Option<Retired> {
        self.kernel.take_retired()
    }

    pub fn release(&mut self, retired: Retired) {
        self.kernel.release(retired);
        self.room |= std::mem::take(&mut self.starved);
    }

    /// Whether a sweep may find room for a session that waits. Asked now and then: each is as long as there are
    /// sessions, and whoever fills the table decides how often room is freed.
    pub fn take_room(&mut self) -> bool {
        std::mem::take(&mut self.room)
    }

    /// Where frames to a neighbour go now, if they can.
    #[cfg(test)]
    pub fn next_hop_mac(&self, neighbour: IpAddr) -> Option<[u8; 6]> {
        let (hop, _) = self
            .kernel
            .hops()
            .find(|(hop, _)| hop.neighbour == neighbour)?;
        let next_hop = self.network.next_hop(hop);
        (next_hop.ifindex != 0).then_some(next_hop.destination)
    }
}
