//! One allocation: whose it is, where it relays, and until when each of its sessions may. No I/O, no timers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use stun_types::message::TransactionId;

use crate::credentials::{Grantor, LongTermKey};
use crate::fastpath::{Leg, SessionSpec};
use crate::police::Limit;

use super::channel::{Channel, Channels};
use super::command::{BindFault, Family, ReservationToken};
use super::identity::{AllocationId, FiveTuple};
use super::message::Origin;
use super::mobility::Mobility;
use super::relayed::Relayed;
use super::shared::Place;
use super::view::{AllocationView, ChannelView, PermissionView};

/// RFC 8656 §9.
pub(super) const PERMISSION_LIFETIME: Duration = Duration::from_secs(300);

#[derive(Debug)]
pub(super) struct Allocation {
    pub id: AllocationId,
    pub tuple: FiveTuple,
    /// Who made it, expiry included: nobody else may use it.
    pub username: String,
    pub key: LongTermKey,
    pub grantor: Grantor,
    /// When the credential that made it does (Unix seconds).
    pub credential_expires: Option<u64>,
    /// Of its user, where somebody else set one.
    pub limit: Limit,
    /// Its place in the quotas, under the user's name.
    pub place: Place,
    pub granted: Granted,
    pub relay: Relay,
    /// Bound, while the request waits as well.
    pub held: Relayed,
    /// The request that ended one of two relayed addresses, to answer its repetitions alike.
    pub halved: Option<TransactionId>,
    pub mobility: Option<Mobility>,
    /// It relays connections, not datagrams (RFC 6062).
    pub tcp: bool,
    pub created: Instant,
    pub expires: Instant,
    pub permissions: HashMap<IpAddr, Instant, super::hash::Keyed>,
    pub channels: Channels,
}

/// What the Allocate request was answered, to answer its repetitions alike.
#[derive(Debug, Clone, Copy)]
pub(super) struct Granted {
    pub transaction: TransactionId,
    pub lifetime: u32,
    pub token: Option<ReservationToken>,
    /// The family of two that could not be had, and the error code that says why.
    pub refused: Option<(Family, u16)>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Relay {
    /// The driver is binding; the request waits.
    Binding(Binding),
    Bound,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Binding {
    pub origin: Origin,
    /// Addresses the driver has not answered yet.
    pub waiting: u8,
    pub fault: Option<(Family, BindFault)>,
}

impl Allocation {
    /// What it relays by, once all of it is bound.
    pub fn relayed(&self) -> Option<Relayed> {
        match self.relay {
            Relay::Binding(_) => None,
            Relay::Bound => Some(self.held),
        }
    }

    /// Where data of `peer` passes, while it may.
    pub fn relayed_at(&self, now: Instant, peer: IpAddr) -> Option<SocketAddr> {
        self.relayed().filter(|_| self.expires > now)?.facing(peer)
    }

    pub fn permits(&self, peer: IpAddr, now: Instant) -> bool {
        self.permissions
            .get(&peer)
            .is_some_and(|expires| *expires > now)
    }

    pub fn has_family_of(&self, peer: SocketAddr) -> bool {
        self.relayed()
            .is_some_and(|relayed| relayed.facing(peer.ip()).is_some())
    }

    /// Until when a channel that `expires` relays to `peer`, and from it.
    pub fn deadlines(&self, peer: SocketAddr, expires: Instant) -> (Instant, Instant) {
        let near = expires.min(self.expires);
        let permission = self.permissions.get(&peer.ip()).copied();
        // Without a permission nothing comes back: a moment already past.
        let far = near.min(permission.unwrap_or(self.created));
        (near, far)
    }

    pub fn spec(&self, number: u16, channel: &Channel, relayed: SocketAddr) -> SessionSpec {
        let (near_deadline, far_deadline) = channel.told;
        SessionSpec {
            near: Leg {
                remote: self.tuple.client,
                local: self.tuple.server,
                channel: Some(number),
                deadline: near_deadline,
            },
            far: Leg {
                remote: channel.peer,
                local: relayed,
                channel: None,
                deadline: far_deadline,
            },
        }
    }

    pub fn view(&self) -> Option<AllocationView> {
        let mut channels: Vec<_> = self
            .channels
            .iter()
            .filter_map(|(number, channel)| {
                Some(ChannelView {
                    number,
                    peer: channel.peer,
                    session: channel.session?,
                    relayed: self.held.facing(channel.peer.ip())?,
                    expires: channel.expires,
                })
            })
            .collect();
        channels.sort_unstable_by_key(|channel| channel.number);
        let mut permissions: Vec<_> = self
            .permissions
            .iter()
            .map(|(&peer, &expires)| PermissionView { peer, expires })
            .collect();
        permissions.sort_unstable_by_key(|permission| permission.peer);
        Some(AllocationView {
            id: self.id,
            user: self.place.user().to_owned(),
            tuple: self.tuple,
            relayed: self.relayed()?.iter().collect(),
            created: self.created,
            expires: self.expires,
            channels,
            permissions,
        })
    }
}
