//! The relayed transport addresses of one allocation: one, or one of each family (RFC 8656 §7.2).

use std::net::{IpAddr, SocketAddr};

use super::command::Family;

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Relayed {
    v4: Option<SocketAddr>,
    v6: Option<SocketAddr>,
}

impl Relayed {
    pub fn of(&self, family: Family) -> Option<SocketAddr> {
        match family {
            Family::V4 => self.v4,
            Family::V6 => self.v6,
        }
    }

    /// Where data for and from `peer` passes.
    pub fn facing(&self, peer: IpAddr) -> Option<SocketAddr> {
        self.of(Family::of(peer))
    }

    pub fn insert(&mut self, address: SocketAddr) {
        *self.place(Family::of(address.ip())) = Some(address);
    }

    pub fn remove(&mut self, family: Family) -> Option<SocketAddr> {
        self.place(family).take()
    }

    /// IPv4 first.
    pub fn iter(self) -> impl Iterator<Item = SocketAddr> {
        self.v4.into_iter().chain(self.v6)
    }

    pub fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    pub fn map(self, change: impl Fn(SocketAddr) -> SocketAddr) -> Self {
        Self {
            v4: self.v4.map(&change),
            v6: self.v6.map(&change),
        }
    }

    fn place(&mut self, family: Family) -> &mut Option<SocketAddr> {
        match family {
            Family::V4 => &mut self.v4,
            Family::V6 => &mut self.v6,
        }
    }
}
