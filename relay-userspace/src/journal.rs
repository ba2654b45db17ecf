//! What the next process has to know of this one, kept in a file by a thread of its own. Never waited for by packets:
//! a change is left in a mailbox, bounded by the things there are. What a client is told of a
//! change waits for its commit, so that no kill makes it untrue.
//!
//! **Invariant:** a journal is of one boot. Times are monotonic, and after a reboot nothing of it goes on.

mod entry;
mod file;
mod frame;
mod mailbox;
mod predecessor;
mod store;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

pub use entry::{Entry, GivenLimit, Key, Remembered};
use frame::Frame;
pub use mailbox::Commit;
use mailbox::Mailbox;
use store::Store;
pub use store::{Identity, StoreFault};
use tokio::sync::watch;

/// A handle; clones are the same journal.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    mailbox: Arc<Mailbox>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

impl Journal {
    /// Opens the journal at `path` and reads what an earlier process of this boot left, if it is of the same kind.
    /// `nonce_key` is for a journal that has none yet.
    pub fn open(
        path: &Path,
        identity: &Identity,
        nonce_key: [u8; 32],
    ) -> Result<(Self, Remembered), StoreFault> {
        predecessor::retire(path)?;
        let (store, remembered) = Store::open(path, identity, nonce_key)?;
        let mailbox = Arc::new(Mailbox::default());
        let writer = std::thread::Builder::new()
            .name("relay-journal".to_owned())
            .spawn({
                let mailbox = Arc::clone(&mailbox);
                move || write(store, &mailbox)
            })
            .map_err(StoreFault::Thread)?;
        let inner = Inner {
            mailbox,
            writer: Mutex::new(Some(writer)),
        };
        let inner = Arc::new(inner);
        Ok((Self { inner }, remembered))
    }

    /// Remembers `entry` in place of what was known by its key. The commit it will be part of; `None`: the journal is
    /// broken, and remembers nothing more.
    pub fn keep(&self, entry: Entry) -> Option<Commit> {
        self.change([(entry.key(), Some(entry))])
    }

    /// See [`Self::keep`].
    pub fn forget(&self, key: Key) -> Option<Commit> {
        self.change([(key, None)])
    }

    /// What is now to be remembered of each key, in one commit. See [`Self::keep`].
    pub fn change(
        &self,
        changes: impl IntoIterator<Item = (Key, Option<Entry>)>,
    ) -> Option<Commit> {
        self.inner.mailbox.put(changes)
    }

    /// The last commit that is in the file.
    pub fn committed(&self) -> watch::Receiver<Commit> {
        self.inner.mailbox.committed()
    }

    /// Returns when everything so far is in the file.
    pub async fn settled(&self) {
        let last = self.inner.mailbox.last();
        // The sender lives as long as this handle.
        let _ = self.committed().wait_for(|commit| *commit >= last).await;
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.mailbox.close();
        let writer = self
            .writer
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if writer.is_some_and(|writer| writer.join().is_err()) {
            tracing::error!("the journal's thread panicked");
        }
    }
}

fn write(mut store: Store, mailbox: &Mailbox) {
    let mut batch = Frame::default();
    while let Some(commit) = mailbox.take(&mut batch) {
        if let Err(fault) = store.commit(&mut batch) {
            tracing::error!(%fault, "the journal ends here: sessions will not outlive this process");
            mailbox.give_up();
            continue;
        }
        mailbox.done(commit);
        if let Err(fault) = store.tidy() {
            tracing::warn!(%fault, "the journal grows: it cannot be written anew");
        }
    }
}

/// Removes the journal at `path`, and that of an older relay, unless a relay has it. True if there was one.
pub fn remove(path: &Path) -> Result<bool, StoreFault> {
    let older = predecessor::remove(path)?;
    Ok(remove_one(path)? || older)
}

fn remove_one(path: &Path) -> Result<bool, StoreFault> {
    if !path.exists() {
        return Ok(false);
    }
    let removed = store::open_alone(path)?.remove();
    removed.map_err(|source| StoreFault::Open {
        path: path.to_owned(),
        source,
    })?;
    Ok(true)
}

#[cfg(test)]
mod tests;
