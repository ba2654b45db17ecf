//! Relayed addresses: bound, opened to peers for their allocation's user, and closed.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;

use super::Driver;
use super::relay_port::{Books, RelayPort};
use crate::net::ports::{Bound, PortFault};
use crate::net::receive::{self, Role};
use crate::net::socket::Socket;
use crate::net::worker::Context;
use crate::turn::{AllocationId, BindFault, Family, PortWish};

impl Driver {
    pub(super) fn open(
        &mut self,
        context: &mut Context<'_>,
        allocation: AllocationId,
        user: Arc<str>,
        bound: Bound,
    ) -> Result<SocketAddr, BindFault> {
        let relayed = bound.address;
        let socket = Rc::new(Socket::of_pool(bound).map_err(|_| BindFault::Refused)?);
        let task = receive::spawn(context.worker, Rc::clone(&socket), Role::RelayPort(relayed));
        context.shared.fastpath.open_flow_port(relayed);
        self.vouch(context, allocation, &user);
        let pass = context.shared.police.allocation(&user);
        let port = RelayPort::new(allocation, socket, task, Books::new(user, pass));
        self.ports.insert(relayed, port);
        Ok(relayed)
    }

    /// Before its meters are made.
    pub(super) fn vouch(&self, context: &Context<'_>, allocation: AllocationId, user: &str) {
        let (group, limit) = (
            self.server.group_of(allocation),
            self.server.granted_to(allocation),
        );
        context.shared.police.belongs(user, group, limit);
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
