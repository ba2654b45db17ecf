//! Relayed addresses: bound, opened to peers for their allocation's user, and closed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::Driver;
use super::relay_port::RelayPort;
use crate::net::ports::{Bound, PortFault};
use crate::net::stats::Stat;
use crate::net::worker::Context;
use crate::police::Police;
use crate::turn::{AllocationId, BindFault, Family, PortWish, Server};

impl Driver {
    pub(super) fn bind_relay(
        &mut self,
        context: &mut Context<'_>,
        allocation: AllocationId,
        family: Family,
        tcp: bool,
        local_hint: IpAddr,
        port: PortWish,
    ) {
        let user = Arc::from(self.server.user_of(allocation).unwrap_or_default());
        let bound = match tcp {
            true => self.tcp.open(context, family, local_hint),
            false => bind(context, family, local_hint, port)
                .map(|bound| self.open(context, allocation, user, bound)),
        };
        if bound.is_err() {
            context.stats.add(Stat::RelayBindFailed, 1);
        }
        self.server
            .relay_bound(context.now, allocation, family, bound);
        self.introduce(context);
    }

    /// The kernel knows the port from now on. Peers are heard when one of them is permitted to send.
    pub(super) fn open(
        &mut self,
        context: &Context<'_>,
        allocation: AllocationId,
        user: Arc<str>,
        bound: Bound,
    ) -> SocketAddr {
        let relayed = bound.address;
        context.shared.fastpath.open_flow_port(relayed);
        self.ports
            .insert(relayed, RelayPort::new(allocation, user, bound));
        relayed
    }

    /// A peer was permitted to send to `relayed`.
    pub(super) fn hear(&mut self, context: &Context<'_>, relayed: SocketAddr) {
        let Some(port) = self.ports.get_mut(&relayed) else {
            return;
        };
        let (server, police) = (&self.server, &context.shared.police);
        let allocation = port.allocation;
        let client = server.client_of(allocation);
        let fastpath = &context.shared.fastpath;
        let guess = client.and_then(|at| fastpath.guess(at.client, at.server, 0));
        let heard = port.hear(context.worker, |user| {
            vouch(server, police, allocation, user);
            police.allocation(user, guess)
        });
        if let Err(error) = heard {
            tracing::warn!(%error, %relayed, "a relayed address hears nothing");
        }
    }

    /// Before its meters are made.
    pub(super) fn vouch(&self, context: &Context<'_>, allocation: AllocationId, user: &str) {
        vouch(&self.server, &context.shared.police, allocation, user);
    }

    pub(super) fn close(&mut self, context: &mut Context<'_>, relayed: SocketAddr) {
        if self.tcp.close(relayed) {
            return;
        }
        if let Some(port) = self.ports.remove(&relayed) {
            context.shared.fastpath.close_port(relayed);
            self.ledger
                .address_released(port.allocation, port.share(None));
        }
    }
}

fn vouch(server: &Server, police: &Police, allocation: AllocationId, user: &str) {
    let (group, limit) = (server.group_of(allocation), server.granted_to(allocation));
    police.belongs(user, group, limit);
}

pub(super) fn bind(
    context: &Context<'_>,
    family: Family,
    contacted: std::net::IpAddr,
    wish: PortWish,
) -> Result<Bound, BindFault> {
    let (pool, now) = (&context.shared.pool, context.now.mono);
    let address = context
        .shared
        .addresses
        .for_allocation(family, contacted)
        .ok_or(BindFault::FamilyUnavailable);
    let bound = match wish {
        PortWish::Any => pool.bind(address?),
        PortWish::Even => pool.bind_even(address?),
        PortWish::EvenWithNext(token) => pool.bind_pair(address?, token, now),
        PortWish::Reserved(token) => pool.take_reserved(token, now),
    };
    bound.map_err(|fault| {
        tracing::debug!(%fault, "no relay port for an allocation");
        match fault {
            PortFault::Exhausted { .. } => BindFault::PortsExhausted,
            PortFault::Bind { .. } => BindFault::Refused,
            PortFault::UnknownToken => BindFault::UnknownReservation,
        }
    })
}
