//! Sessions of forwards across processes: what changed goes to the journal, what an earlier process left comes from it.

use super::ForwardKey;
use super::forward::Forward;
use crate::events::{Change, Reason};
use crate::fastpath::SessionId;
use crate::forward::saved::SavedSession;
use crate::forward::table::{Client, Command};
use crate::journal::{Entry, Key};
use crate::net::worker::Context;

impl Forward {
    /// Leaves what a command changes in the journal's mailbox.
    pub(super) fn remember(&self, context: &Context<'_>, command: &Command) {
        let Some(journal) = &context.shared.journal else {
            return;
        };
        let (Command::Install { session, .. }
        | Command::Extend { session, .. }
        | Command::Remove { session }) = *command;
        // A forward answers nothing that would have to wait.
        let _ = match self.save(session) {
            Some(saved) => journal.keep(Entry::Session(saved)),
            None => journal.forget(Key::Session(session.0)),
        };
    }

    fn save(&self, id: SessionId) -> Option<SavedSession> {
        let session = self.table.session(id)?;
        Some(SavedSession {
            id: id.0,
            worker: self.worker,
            forward: self.name.to_string(),
            client: session.client.remote,
            server: session.client.server,
            destination: session.destination,
            local: session.local,
            since: session.since,
            deadline: session.deadline,
        })
    }

    /// Binds a session's port again and goes on with it. What cannot go on is forgotten.
    pub(super) fn restore(
        &mut self,
        context: &mut Context<'_>,
        key: ForwardKey,
        saved: &SavedSession,
    ) {
        if let Err(reason) = self.restore_one(context, key, saved) {
            tracing::warn!(client = %saved.client, reason, "a forward session does not go on");
            if let Some(journal) = &context.shared.journal {
                journal.forget(Key::Session(saved.id));
            }
        }
        self.carry_out(context);
    }

    fn restore_one(
        &mut self,
        context: &Context<'_>,
        key: ForwardKey,
        saved: &SavedSession,
    ) -> Result<(), String> {
        let bound = context.shared.pool.bind_exactly(saved.local);
        let bound = bound.map_err(|fault| fault.to_string())?;
        let bound = bound.ok_or("another program has its port")?;
        let session = SessionId(saved.id);
        let client = Client {
            remote: saved.client,
            server: saved.server,
        };
        let held = self.hold(context, key, session, client, bound);
        held.map_err(|error| error.to_string())?;
        self.table
            .restore(context.now.mono, saved)
            .map_err(|lapsed| {
                self.let_go(context, session);
                lapsed.to_string()
            })?;
        self.tell(context, session, Change::Changed, Some(Reason::Adopted));
        Ok(())
    }
}
