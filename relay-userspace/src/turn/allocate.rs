//! Allocate (RFC 8656 §7.2): judged in the order of the standard, answered once the driver has bound the relayed address.

use std::net::SocketAddr;
use std::time::Duration;

use stun_types::attribute::{AttributeStaticType as _, ErrorCode};
use stun_types::message::{Message, StunParseError};
use turn_types::AddressFamily;
use turn_types::attribute::{
    AdditionalAddressFamily, DontFragment, EvenPort, Lifetime, RequestedAddressFamily,
    RequestedTransport, ReservationToken as TokenAttribute,
};

use super::adopt::lifetime_until;
use super::allocation::{Allocation, Binding, Granted, Relay};
use super::alternate;
use super::answer::{self, Reject, Success};
use super::auth::User;
use super::channel::Channels;
use super::command::{BindFault, Command, Family, PortWish, ReservationToken};
use super::counters::Counter;
use super::identity::{AllocationId, FiveTuple, Now};
use super::message::{Origin, optional, required};
use super::mobility::Mobility;
use super::relayed::Relayed;
use super::server::Server;
use super::shared::Full;
use super::table::Slot;
use super::timer::Timer;
use crate::credentials::Integrity;
use crate::events::Change;
use crate::police::Limit;

/// RFC 8656 §3.2.
const DEFAULT_LIFETIME: u32 = 600;

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
            if existing.relayed().is_none() {
                self.counters.bump(Counter::PendingDropped);
                return Ok(None);
            }
            let allocated = self.allocated(now, slot);
            self.counters.bump(Counter::Retransmissions);
            return Ok(Some(allocated));
        }
        if self.config.admission.is_closed() {
            return Err(self.turn_away(from, message));
        }
        let tcp = match required::<RequestedTransport>(message)?.protocol() {
            RequestedTransport::UDP => false,
            RequestedTransport::TCP => true,
            _ => return Err(Reject::TransportUnsupported),
        };
        if tcp && !fits_tcp(from, message) {
            return Err(Reject::BadRequest);
        }
        // A TCP allocation stays with its control connection: it gets no ticket.
        let mobile = self.wants_mobility(message)? && !tcp;
        let Wanted { families, port } = self.wanted(message)?;
        let (wanted, refused): (Vec<_>, Vec<_>) = families
            .into_iter()
            .partition(|family| self.config.relay_families.has(*family));
        if wanted.is_empty() {
            return Err(Reject::FamilyUnsupported);
        }
        let lifetime = self.lifetime(optional::<Lifetime>(message)?.map(|wanted| wanted.seconds()));
        let record = user.record.as_ref();
        let caps = record.map(|record| record.caps);
        let limit = record.map_or(Limit::NONE, |record| record.limit);
        let place = match self.config.shared.admit_allocation(
            &user.name,
            user.grantor.group(),
            from.client.ip(),
            caps,
        ) {
            Ok(place) => place,
            Err(Full::User | Full::Group) => return Err(Reject::QuotaReached),
            Err(Full::Total) => return Err(Reject::InsufficientCapacity),
        };
        let token = match port {
            PortWish::EvenWithNext(token) => Some(token),
            _ => None,
        };
        let id = self.ids.allocation();
        let expires = now.mono + Duration::from_secs(lifetime.into());
        let expires = self.within_credential(now, expires, user.expires);
        let lifetime = lifetime.min(lifetime_until(now, expires));
        let slot = self.table.insert(Allocation {
            id,
            tuple: from,
            username: user.username,
            key: user.key,
            grantor: user.grantor,
            credential_expires: user.expires,
            limit,
            place,
            granted: Granted {
                transaction: message.transaction_id(),
                lifetime,
                token,
                refused: refused
                    .first()
                    .map(|family| (*family, ErrorCode::ADDRESS_FAMILY_NOT_SUPPORTED)),
            },
            relay: Relay::Binding(Binding {
                origin: Origin::of(message),
                waiting: wanted.len() as u8,
                fault: None,
            }),
            held: Relayed::default(),
            halved: None,
            tcp,
            mobility: mobile.then(Mobility::default),
            created: now.mono,
            expires,
            permissions: std::collections::HashMap::with_hasher(self.hash),
            channels: Channels::new(self.hash),
        });
        self.timers.set(expires, Timer::Allocation(slot));
        self.forget_farewell(from);
        self.forget_former_at(from);
        for family in wanted {
            self.commands.push_back(Command::BindRelay {
                allocation: id,
                family,
                tcp,
                local_hint: from.server.ip(),
                port,
            });
        }
        Ok(None)
    }

    /// RFC 8489 §10: the name of another certificate is for those who know of it, which SHA-256 tells.
    fn turn_away(&self, from: FiveTuple, message: &Message<'_>) -> Reject {
        let turn = self.counters.get(Counter::Answered300);
        let redirect = alternate::redirect(&self.config.alternates, from, turn);
        let Some(mut redirect) = redirect else {
            return Reject::Draining;
        };
        if Integrity::of(message) != Some(Integrity::Sha256) {
            redirect.domain = None;
        }
        Reject::TryAlternate(redirect)
    }

    /// The driver's answer to [`Command::BindRelay`].
    pub fn relay_bound(
        &mut self,
        now: Now,
        allocation: AllocationId,
        family: Family,
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
        let Relay::Binding(mut binding) = self.table[slot].relay else {
            debug_assert!(false, "one answer to each BindRelay");
            return;
        };
        binding.waiting -= 1;
        match result {
            Ok(relayed) => self.table.add_relayed(slot, relayed),
            Err(fault) => binding.fault = Some((family, fault)),
        }
        self.table[slot].relay = Relay::Binding(binding);
        if binding.waiting == 0 {
            self.finish_allocation(now, slot, binding);
        }
    }

    /// One of two addresses is enough (RFC 8656 §7.2).
    fn finish_allocation(&mut self, now: Now, slot: Slot, binding: Binding) {
        let Binding { origin, fault, .. } = binding;
        let fault = fault.map(|(family, fault)| (family, reject_for(fault)));
        let made = &mut self.table[slot];
        if let Some((_, reject)) = fault.as_ref().filter(|_| made.held.is_empty()) {
            let failed = self.drop_allocation(slot);
            self.counters.bump(reject.counter());
            let bytes = answer::error(origin, reject, &failed.key);
            return self.send(failed.tuple, bytes);
        }
        if let Some((family, reject)) = fault {
            made.granted.refused = Some((family, reject.code()));
        }
        made.relay = Relay::Bound;
        self.meet_client(slot);
        self.tell_allocation(slot, Change::Created, None);
        self.counters.bump(Counter::AllocationsCreated);
        let allocated = self.allocated(now, slot);
        let made = &self.table[slot];
        self.changed.insert(made.id);
        let bytes = answer::success(origin, &allocated, Some(&made.key));
        let to = made.tuple;
        self.send(to, bytes);
    }

    fn allocated(&mut self, now: Now, slot: Slot) -> Success {
        let ticket = self.issue_ticket(now, slot);
        let allocation = &self.table[slot];
        Success::Allocated {
            relayed: allocation
                .held
                .map(|relayed| self.config.advertise.outward(relayed)),
            mapped: allocation.tuple.client,
            lifetime: allocation.granted.lifetime,
            token: allocation.granted.token,
            refused: allocation.granted.refused,
            ticket,
        }
    }

    fn wanted(&mut self, message: &Message<'_>) -> Result<Wanted, Reject> {
        let even = optional::<EvenPort>(message)?;
        let reserved = optional::<TokenAttribute>(message)?;
        let requested = message.has_attribute(RequestedAddressFamily::TYPE);
        let additional = optional::<AdditionalAddressFamily>(message)?;
        if let Some(token) = reserved {
            // The reservation settled port and family.
            if even.is_some() || requested || additional.is_some() {
                return Err(Reject::BadRequest);
            }
            return Ok(Wanted {
                families: vec![Family::V4],
                port: PortWish::Reserved(ReservationToken(token.token())),
            });
        }
        let families = match additional {
            None => vec![requested_family(message)?.unwrap_or(Family::V4)],
            // Of two addresses the next port could be the next of either.
            Some(_) if requested || even.as_ref().is_some_and(EvenPort::requested) => {
                return Err(Reject::BadRequest);
            }
            Some(additional) if additional.family() != AddressFamily::IPV6 => {
                return Err(Reject::BadRequest);
            }
            Some(_) => vec![Family::V4, Family::V6],
        };
        let port = match even {
            None => PortWish::Any,
            Some(even) if even.requested() => PortWish::EvenWithNext(self.tokens.reservation()),
            Some(_) => PortWish::Even,
        };
        Ok(Wanted { families, port })
    }

    /// The lifetime granted to who wants `wanted` seconds, which are not 0 (RFC 8656 §7.2).
    pub(super) fn lifetime(&self, wanted: Option<u32>) -> u32 {
        let longest = u32::try_from(self.config.limits.max_lifetime.as_secs()).unwrap_or(u32::MAX);
        wanted.unwrap_or(0).max(DEFAULT_LIFETIME).min(longest)
    }
}

/// RFC 6062 §5.1.
fn fits_tcp(from: FiveTuple, message: &Message<'_>) -> bool {
    let of_datagrams = [DontFragment::TYPE, EvenPort::TYPE, TokenAttribute::TYPE];
    from.transport.is_stream() && !of_datagrams.iter().any(|kind| message.has_attribute(*kind))
}

struct Wanted {
    families: Vec<Family>,
    port: PortWish,
}

fn reject_for(fault: BindFault) -> Reject {
    match fault {
        BindFault::PortsExhausted | BindFault::UnknownReservation => Reject::InsufficientCapacity,
        BindFault::FamilyUnavailable => Reject::FamilyUnsupported,
        BindFault::Refused => Reject::ServerError,
    }
}

/// REQUESTED-ADDRESS-FAMILY; one nobody knows is an unsupported one.
pub(super) fn requested_family(message: &Message<'_>) -> Result<Option<Family>, Reject> {
    match message.attribute::<RequestedAddressFamily>() {
        Ok(requested) => Ok(Some(match requested.family() {
            AddressFamily::IPV4 => Family::V4,
            AddressFamily::IPV6 => Family::V6,
        })),
        Err(StunParseError::MissingAttribute(_)) => Ok(None),
        Err(StunParseError::InvalidAttributeData) => Err(Reject::FamilyUnsupported),
        Err(_) => Err(Reject::BadRequest),
    }
}
