//! Taking an allocation over from an earlier process, as far as it still holds and is still allowed.

use super::allocation::{Allocation, Granted, Relay};
use super::auth::Vouched;
use super::channel::{Channel, Channels};
use super::command::Command;
use super::identity::{AllocationId, FiveTuple, Now, Transport};
use super::mobility::Mobility;
use super::saved::{SavedAllocation, SavedChannel};
use super::server::Server;
use super::table::Slot;
use super::timer::Timer;
use crate::credentials::Proof;
use crate::events::{Change, Reason};
use crate::fastpath::SessionId;
use crate::police::Limit;

/// Why an allocation does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Lapsed {
    #[error("its lifetime is over")]
    Expired,
    #[error("its user or secret is no longer configured")]
    UnknownUser,
    #[error("the limits are lower now")]
    NoRoom,
    #[error("its client or its address is taken")]
    Taken,
}

impl Server {
    /// Allocations that changed since the last call, for whoever keeps them.
    pub fn take_changed(&mut self) -> std::collections::BTreeSet<AllocationId> {
        std::mem::take(&mut self.changed)
    }

    /// `None`: it is gone, or will be with this process, as the connection it hangs on.
    pub fn save(&self, id: AllocationId) -> Option<SavedAllocation> {
        let allocation = &self.table[self.table.of_id(id)?];
        if allocation.tuple.transport.is_stream() {
            return None;
        }
        SavedAllocation::of(allocation, self.config.worker_index)
    }

    /// The driver has bound `saved.relayed`. Orders its sessions; it is as if it had been made here.
    pub fn restore(&mut self, now: Now, saved: &SavedAllocation) -> Result<(), Lapsed> {
        // Whatever comes of it, nothing else gets its ids: the kernel may know them still.
        let sessions = saved.channels.iter().filter_map(|channel| channel.session);
        sessions.chain([saved.id]).for_each(|id| self.ids.skip(id));
        if saved.expires <= now.mono {
            return Err(Lapsed::Expired);
        }
        let tuple = FiveTuple {
            client: saved.client,
            server: saved.server,
            transport: Transport::Udp,
        };
        let id = AllocationId(saved.id);
        let taken = self.table.of_client(&tuple).is_some()
            || saved
                .all_relayed()
                .any(|relayed| self.table.of_relayed(relayed).is_some())
            || self.table.of_id(id).is_some();
        if taken {
            return Err(Lapsed::Taken);
        }
        let credentials = &self.config.credentials;
        let (user, record) = match self.vouched(now, &saved.username) {
            Ok(Vouched::Here) => (
                credentials.candidates(&saved.username, saved.algorithm),
                None,
            ),
            Ok(Vouched::ByHook(record)) => {
                let user = credentials.vouched(&saved.username, saved.algorithm, &record);
                (user, Some(record))
            }
            Ok(Vouched::ByNobody) | Err(_) => (None, None),
        };
        let user = user.ok_or(Lapsed::UnknownUser)?;
        let caps = record.as_ref().map(|record| record.caps);
        let proof = user
            .proofs
            .into_iter()
            .find(|proof| proof.key.print() == saved.key_print);
        let Proof { key, grantor } = proof.ok_or(Lapsed::UnknownUser)?;
        let place = self.config.shared.admit_allocation(
            user.name,
            grantor.group(),
            saved.client.ip(),
            caps,
        );
        let place = place.map_err(|_| Lapsed::NoRoom)?;
        let expires = self.within_credential(now, saved.expires, user.expires);
        let slot = self.table.insert(Allocation {
            id,
            tuple,
            username: saved.username.clone(),
            key,
            grantor,
            credential_expires: user.expires,
            limit: record.map_or(Limit::NONE, |record| record.limit),
            place,
            granted: Granted {
                transaction: saved.transaction(),
                lifetime: saved.lifetime,
                token: None,
                refused: None,
            },
            relay: Relay::Bound,
            held: Default::default(),
            halved: None,
            tcp: false,
            mobility: saved.mobility.map(|(issued, presented)| Mobility {
                issued,
                presented,
                former: None,
            }),
            created: saved.created,
            expires,
            permissions: std::collections::HashMap::with_hasher(self.hash),
            channels: Channels::new(self.hash),
        });
        for relayed in saved.all_relayed() {
            self.table.add_relayed(slot, relayed);
        }
        self.tell_allocation(slot, Change::Changed, Some(Reason::Adopted));
        self.meet_client(slot);
        self.timers.set(expires, Timer::Allocation(slot));
        self.restore_permissions(now, slot, saved);
        for channel in &saved.channels {
            self.restore_channel(now, slot, channel);
        }
        Ok(())
    }

    fn restore_permissions(&mut self, now: Now, slot: Slot, saved: &SavedAllocation) {
        for permission in &saved.permissions {
            let (peer, expires) = (permission.peer, permission.expires);
            let allowed = self.config.policy.check_address(peer).is_ok();
            let may = allowed && expires > now.mono;
            if may && self.table[slot].place.grow(0, 1).is_ok() {
                self.table[slot].permissions.insert(peer, expires);
                self.timers.set(expires, Timer::Permission(slot, peer));
                self.note_peer(slot, peer, true);
                self.tell_permission(slot, peer, (Change::Changed, Some(Reason::Adopted)));
            }
        }
    }

    fn restore_channel(&mut self, now: Now, slot: Slot, saved: &SavedChannel) {
        let (number, peer, expires) = (saved.number, saved.peer, saved.expires);
        let allowed = self.config.policy.check(peer).is_ok();
        let allocation = &self.table[slot];
        let channel = Channel {
            peer,
            session: saved.session.filter(|_| expires > now.mono).map(SessionId),
            expires,
            told: allocation.deadlines(peer, expires),
        };
        if !allowed || channel.due() <= now.mono || !allocation.channels.may_bind(number, peer) {
            return;
        }
        let Some(relayed) = allocation.held.facing(peer.ip()) else {
            return;
        };
        if self.table[slot].place.grow(1, 0).is_err() {
            return;
        }
        let allocation = &self.table[slot];
        if let Some(session) = channel.session {
            self.commands.push_back(Command::InstallSession {
                session,
                allocation: allocation.id,
                transport: allocation.tuple.transport,
                spec: allocation.spec(number, &channel, relayed),
            });
        }
        self.timers.set(channel.due(), Timer::Channel(slot, number));
        self.table[slot].channels.insert(number, channel);
        self.tell_channel(slot, number, (Change::Changed, Some(Reason::Adopted)));
    }
}
