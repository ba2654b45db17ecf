//! Channels: each a session of the kernel, and one of the peers of a relayed address.

use super::Driver;
use crate::fastpath::{SessionId, SessionSpec};
use crate::net::worker::Context;
use crate::turn::{AllocationId, Transport};

impl Driver {
    pub(super) fn channel_bound(
        &mut self,
        context: &Context<'_>,
        session: SessionId,
        allocation: AllocationId,
        transport: Transport,
        spec: SessionSpec,
    ) {
        let (relayed, peer) = (spec.far.local, spec.far.remote);
        self.channels.insert(session, (relayed, peer));
        // A restored channel may have outlived its permission, and still leads to the peer.
        self.hear(context, relayed);
        let shared = context.shared;
        if let Some(port) = self.ports.get(&relayed) {
            self.vouch(context, allocation, port.user());
        }
        let port = self.ports.get_mut(&relayed);
        let (client, server) = (spec.near.remote, spec.near.local);
        let guess = shared
            .fastpath
            .guess(client, server, spec.near.channel.unwrap_or(0));
        let user = port.as_ref().map(|port| port.user());
        let pass = shared.police.session(session, user, guess);
        // The kernel knows datagrams: a stream's sessions are relayed here.
        if transport == Transport::Udp {
            shared.fastpath.install(session, spec, pass.meters());
        }
        if let Some(port) = port {
            port.channel_bound(peer, context.now.mono, pass);
        }
    }

    pub(super) fn channel_gone(&mut self, context: &Context<'_>, session: SessionId) {
        let kernel = context.shared.fastpath.remove(session);
        if let Some((relayed, peer)) = self.channels.remove(&session)
            && let Some(port) = self.ports.get_mut(&relayed)
        {
            let share = port.share(Some(peer));
            let allocation = port.allocation;
            self.ledger
                .session_removed(allocation, session, kernel, share);
            port.channel_gone(peer);
        }
    }
}
