//! CreatePermission (RFC 8656 §10.2): all peers of a request or none. Channels of the same peer live longer by it.

use std::net::{IpAddr, SocketAddr};

use stun_types::message::Message;

use super::allocation::PERMISSION_LIFETIME;
use super::answer::{Reject, Success};
use super::auth::User;
use super::counters::Counter;
use super::identity::{FiveTuple, Now};
use super::message;
use super::server::Server;
use super::table::Slot;
use super::timer::Timer;
use crate::events::{Change, Reason};

impl Server {
    pub(super) fn create_permission(
        &mut self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
        user: &User,
    ) -> Result<Option<Success>, Reject> {
        let slot = self.own_allocation(from, user)?;
        let peers = message::peers(message)?;
        if peers.is_empty() {
            return Err(Reject::BadRequest);
        }
        for peer in &peers {
            self.judge_family(slot, *peer)?;
        }
        for peer in &peers {
            if let Err(refusal) = self.config.policy.check_address(peer.ip()) {
                self.note_refusal(now, from.client, &user.name, &refusal);
                return Err(Reject::Forbidden);
            }
        }
        let advertise = &self.config.advertise;
        let peers: Vec<_> = peers.iter().map(|peer| advertise.inward(*peer)).collect();
        self.take_room(slot, 0, peers.iter().map(SocketAddr::ip))?;
        for peer in &peers {
            self.permit(now, slot, peer.ip());
        }
        self.tell_deadlines(slot);
        Ok(Some(Success::Permitted))
    }

    /// The allocation a request is about, which only its maker may touch.
    pub(super) fn own_allocation(&self, from: FiveTuple, user: &User) -> Result<Slot, Reject> {
        let slot = self
            .table
            .of_client(&from)
            .ok_or(Reject::AllocationMismatch)?;
        let allocation = &self.table[slot];
        if allocation.username != user.username {
            return Err(Reject::WrongCredentials);
        }
        allocation
            .relayed()
            .map(|_| slot)
            .ok_or(Reject::AllocationMismatch)
    }

    pub(super) fn judge_family(&self, slot: Slot, peer: SocketAddr) -> Result<(), Reject> {
        if self.table[slot].has_family_of(peer) {
            Ok(())
        } else {
            Err(Reject::PeerFamilyMismatch)
        }
    }

    /// Takes room for permissions for all of `peers` and so many new channels, if there is room for all of them.
    pub(super) fn take_room(
        &mut self,
        slot: Slot,
        channels: usize,
        peers: impl Iterator<Item = IpAddr>,
    ) -> Result<(), Reject> {
        let held = &self.table[slot].permissions;
        let new: std::collections::HashSet<IpAddr> =
            peers.filter(|peer| !held.contains_key(peer)).collect();
        if held.len() + new.len() > self.config.limits.permissions_per_allocation {
            return Err(Reject::InsufficientCapacity);
        }
        let (place, permissions) = (&mut self.table[slot].place, new.len());
        place
            .grow(channels, permissions)
            .map_err(|_| Reject::InsufficientCapacity)
    }

    /// Gives back the room of what ended.
    pub(super) fn settle(&mut self, slot: Slot) {
        let allocation = &mut self.table[slot];
        let (channels, permissions) = (allocation.channels.len(), allocation.permissions.len());
        allocation.place.settle(channels, permissions);
    }

    /// Installs or refreshes a permission that was judged.
    pub(super) fn permit(&mut self, now: Now, slot: Slot, peer: IpAddr) {
        let expires = now.mono + PERMISSION_LIFETIME;
        let timer = Timer::Permission(slot, peer);
        let told = match self.table[slot].permissions.insert(peer, expires) {
            Some(before) => {
                self.timers.reset(before, expires, timer);
                (Change::Changed, Some(Reason::Refreshed))
            }
            None => {
                self.timers.set(expires, timer);
                self.note_peer(slot, peer, true);
                (Change::Created, None)
            }
        };
        self.tell_permission(slot, peer, told);
        self.counters.bump(Counter::PermissionsCreated);
    }
}
