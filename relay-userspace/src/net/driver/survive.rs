//! Allocations across processes: what changed goes to the journal, what an earlier process left comes from it.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::journal::{Commit, Entry, Key};
use crate::net::worker::Context;
use crate::turn::{AllocationId, FiveTuple, SavedAllocation, Transport};

use super::Driver;

impl Driver {
    /// Leaves what changed in the journal's mailbox. The commit it will be part of, if anything did.
    pub(super) fn remember(&mut self, context: &Context<'_>) -> Option<Commit> {
        let changed = self.server.take_changed();
        let journal = context.shared.journal.as_ref()?;
        if changed.is_empty() {
            return None;
        }
        let now_is = |id: AllocationId| {
            let saved = self.server.save(id);
            (Key::Allocation(id.0), saved.map(Entry::Allocation))
        };
        journal.change(changed.into_iter().map(now_is))
    }

    /// Binds the relayed addresses again and goes on with the sessions. What cannot go on is forgotten.
    pub fn restore(&mut self, context: &mut Context<'_>, all: &[SavedAllocation]) {
        for saved in all {
            if let Err(reason) = self.restore_one(context, saved) {
                tracing::warn!(relayed = %saved.relayed, reason, "an allocation does not go on");
                if let Some(journal) = &context.shared.journal {
                    journal.forget(Key::Allocation(saved.id));
                }
            }
        }
        self.carry_out(context);
    }

    fn restore_one(
        &mut self,
        context: &mut Context<'_>,
        saved: &SavedAllocation,
    ) -> Result<(), String> {
        let tuple = FiveTuple {
            client: saved.client,
            server: saved.server,
            transport: Transport::Udp,
        };
        if !self.clients.reaches(tuple) {
            return Err(format!("nothing listens on {} any more", saved.server));
        }
        let user: Arc<str> = self.server.name_of(&saved.username).into();
        let restored = saved
            .all_relayed()
            .try_for_each(|relayed| {
                let user = Arc::clone(&user);
                self.reopen(context, AllocationId(saved.id), user, relayed)
            })
            .and_then(|()| {
                let restored = self.server.restore(context.now, saved);
                restored.map_err(|lapsed| lapsed.to_string())
            });
        if restored.is_err() {
            saved
                .all_relayed()
                .for_each(|relayed| self.close(context, relayed));
        }
        restored
    }

    fn reopen(
        &mut self,
        context: &mut Context<'_>,
        allocation: AllocationId,
        user: Arc<str>,
        relayed: SocketAddr,
    ) -> Result<(), String> {
        let bound = context.shared.pool.bind_exactly(relayed);
        let bound = bound.map_err(|fault| fault.to_string())?;
        let bound = bound.ok_or("another program has its port")?;
        self.open(context, allocation, user, bound);
        Ok(())
    }
}
