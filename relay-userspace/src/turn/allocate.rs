//! Allocate (RFC 8656 §7.2): judged in the order of the standard, answered once the driver has bound the relayed address.

use std::net::SocketAddr;
use std::time::Duration;

use stun_types::attribute::AttributeStaticType as _;
use stun_types::message::{Message, StunParseError};
use turn_types::attribute::{
    EvenPort, Lifetime, RequestedAddressFamily, RequestedTransport,
    ReservationToken as TokenAttribute,
};

use super::allocation::{Allocation, Granted, Relay};
use super::answer::{self, Reject, Success};
use super::auth::User;
use super::channel::Channels;
use super::command::{BindFault, Command, Family, PortWish, ReservationToken};
use super::counters::Counter;
use super::identity::{AllocationId, FiveTuple, Now};
use super::message::{Origin, optional, required};
use super::server::Server;
use super::shared::Full;
use super::timer::Timer;

/// RFC 8656 §3.2.
const DEFAULT_LIFETIME: u32 = 600;
/// IANA's number of UDP, the one transport there is for relayed data here.
const UDP: u8 = 17;

impl Server {
    pub(super) fn allocate(
        &mut self,
        now: Now,
        from: FiveTuple,
        message: &Message<'_>,
        user: User,
    ) -> Result<Option<Success>, Reject> {
        if let Some(slot) = self.table.of_client(&from) {
            let existing = &self.table[slot];
            let repeated = existing.granted.transaction == message.transaction_id();
            if !repeated || existing.username != user.username {
                return Err(Reject::AllocationMismatch);
            }
            let Some(relayed) = existing.relayed() else {
                self.counters.bump(Counter::PendingDropped);
                return Ok(None);
            };
            let allocated = self.allocated(existing, relayed);
            self.counters.bump(Counter::Retransmissions);
            return Ok(Some(allocated));
        }
        if required::<RequestedTransport>(message)?.protocol() != UDP {
            return Err(Reject::TransportUnsupported);
        }
        let (family, port) = self.wanted(message)?;
        let lifetime = self.lifetime(optional::<Lifetime>(message)?.map(|wanted| wanted.seconds()));
        let place = match self.config.shared.admit_allocation(&user.name) {
            Ok(place) => place,
            Err(Full::User) => return Err(Reject::QuotaReached),
            Err(Full::Total) => return Err(Reject::InsufficientCapacity),
        };
        let token = match port {
            PortWish::EvenWithNext(token) => Some(token),
            _ => None,
        };
        let id = self.ids.allocation();
        let expires = now.mono + Duration::from_secs(lifetime.into());
        let slot = self.table.insert(Allocation {
            id,
            tuple: from,
            username: user.username,
            key: user.key,
            place,
            granted: Granted {
                transaction: message.transaction_id(),
                lifetime,
                token,
            },
            relay: Relay::Binding(Origin::of(message)),
            created: now.mono,
            expires,
            permissions: std::collections::HashMap::with_hasher(self.hash),
            channels: Channels::new(self.hash),
        });
        self.timers.set(expires, Timer::Allocation(slot));
        self.forget_farewell(from);
        self.commands.push_back(Command::BindRelay {
            allocation: id,
            family,
            local_hint: from.server.ip(),
            port,
        });
        Ok(None)
    }

    /// The driver's answer to [`Command::BindRelay`].
    pub fn relay_bound(
        &mut self,
        _now: Now,
        allocation: AllocationId,
        result: Result<SocketAddr, BindFault>,
    ) {
        let Some(slot) = self.table.of_id(allocation) else {
            // It ended meanwhile.
            if let Ok(relayed) = result {
                self.commands.push_back(Command::ReleaseRelay {
                    allocation,
                    relayed,
                });
            }
            return;
        };
        let Relay::Binding(origin) = self.table[slot].relay else {
            debug_assert!(false, "one answer to each BindRelay");
            return;
        };
        match result {
            Ok(relayed) => {
                self.table.set_bound(slot, relayed);
                self.counters.bump(Counter::AllocationsCreated);
                self.changed.insert(allocation);
                let made = &self.table[slot];
                let bytes =
                    answer::success(origin, &self.allocated(made, relayed), Some(&made.key));
                let to = made.tuple;
                self.send(to, bytes);
            }
            Err(fault) => {
                let failed = self.drop_allocation(slot);
                let reject = match fault {
                    BindFault::PortsExhausted | BindFault::UnknownReservation => {
                        Reject::InsufficientCapacity
                    }
                    BindFault::FamilyUnavailable => Reject::FamilyUnsupported,
                    BindFault::Refused => Reject::ServerError,
                };
                self.counters.bump(reject.counter());
                let bytes = answer::error(origin, &reject, &failed.key);
                self.send(failed.tuple, bytes);
            }
        }
    }

    fn allocated(&self, allocation: &Allocation, relayed: SocketAddr) -> Success {
        Success::Allocated {
            relayed: self.config.advertise.outward(relayed),
            mapped: allocation.tuple.client,
            lifetime: allocation.granted.lifetime,
            token: allocation.granted.token,
        }
    }

    fn wanted(&mut self, message: &Message<'_>) -> Result<(Family, PortWish), Reject> {
        let even = optional::<EvenPort>(message)?;
        let reserved = optional::<TokenAttribute>(message)?;
        if let Some(token) = reserved {
            // The reservation settled port and family.
            if even.is_some() || message.has_attribute(RequestedAddressFamily::TYPE) {
                return Err(Reject::BadRequest);
            }
            return Ok((
                Family::V4,
                PortWish::Reserved(ReservationToken(token.token())),
            ));
        }
        let family = requested_family(message)?.unwrap_or(Family::V4);
        if !self.config.relay_families.has(family) {
            return Err(Reject::FamilyUnsupported);
        }
        let port = match even {
            None => PortWish::Any,
            Some(even) if even.requested() => PortWish::EvenWithNext(self.tokens.reservation()),
            Some(_) => PortWish::Even,
        };
        Ok((family, port))
    }

    /// The lifetime granted to who wants `wanted` seconds, which are not 0 (RFC 8656 §7.2).
    pub(super) fn lifetime(&self, wanted: Option<u32>) -> u32 {
        let longest = u32::try_from(self.config.limits.max_lifetime.as_secs()).unwrap_or(u32::MAX);
        wanted.unwrap_or(0).max(DEFAULT_LIFETIME).min(longest)
    }
}

/// REQUESTED-ADDRESS-FAMILY; one nobody knows is an unsupported one.
pub(super) fn requested_family(message: &Message<'_>) -> Result<Option<Family>, Reject> {
    match message.attribute::<RequestedAddressFamily>() {
        Ok(requested) => Ok(Some(match requested.family() {
            turn_types::AddressFamily::IPV4 => Family::V4,
            turn_types::AddressFamily::IPV6 => Family::V6,
        })),
        Err(StunParseError::MissingAttribute(_)) => Ok(None),
        Err(StunParseError::InvalidAttributeData) => Err(Reject::FamilyUnsupported),
        Err(_) => Err(Reject::BadRequest),
    }
}
