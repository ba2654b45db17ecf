//! What the next process has to know of this one, kept in a file by a thread of its own. Never waited for by packets:
//! a change is left in a mailbox, where the last state of a thing replaces the one before.
//!
//! **Invariant:** a journal is of one boot. Times are monotonic, and after a reboot nothing of it goes on.

mod entry;
mod file;
mod store;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

pub use entry::{Entry, Key, Remembered};
use store::Store;
pub use store::{Identity, StoreFault};

/// A handle; clones are the same journal.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    mailbox: Arc<Mailbox>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Mailbox {
    state: Mutex<State>,
    news: Condvar,
    written: Condvar,
}

/// Bounded by the number of things there are, since each is in it once.
#[derive(Default)]
struct State {
    changes: Changes,
    writing: bool,
    closed: bool,
    /// Nothing can be written any more; changes are dropped.
    broken: bool,
}

/// `None`: it is gone.
type Changes = HashMap<Key, Option<Entry>>;

impl Journal {
    /// Opens the journal at `path` and reads what an earlier process of this boot left, if it is of the same kind.
    /// `nonce_key` is for a journal that has none yet.
    pub fn open(
        path: &Path,
        identity: &Identity,
        nonce_key: [u8; 32],
    ) -> Result<(Self, Remembered), StoreFault> {
        let (store, remembered) = Store::open(path, identity, nonce_key)?;
        let mailbox = Arc::new(Mailbox::default());
        let writer = std::thread::Builder::new()
            .name("relay-journal".to_owned())
            .spawn({
                let mailbox = Arc::clone(&mailbox);
                move || write(&store, &mailbox)
            })
            .map_err(StoreFault::Thread)?;
        let inner = Inner {
            mailbox,
            writer: Mutex::new(Some(writer)),
        };
        let inner = Arc::new(inner);
        Ok((Self { inner }, remembered))
    }

    /// Remembers `entry` in place of what was known by its key.
    pub fn keep(&self, entry: Entry) {
        self.inner.mailbox.put(entry.key(), Some(entry));
    }

    pub fn forget(&self, key: Key) {
        self.inner.mailbox.put(key, None);
    }

    /// Returns when everything so far is in the file.
    pub fn flush(&self) {
        let mailbox = &self.inner.mailbox;
        let busy = |state: &mut State| !state.changes.is_empty() || state.writing;
        let waited = mailbox.written.wait_while(mailbox.lock(), busy);
        drop(waited);
    }
}

impl Mailbox {
    fn put(&self, key: Key, entry: Option<Entry>) {
        let mut state = self.lock();
        if !state.broken {
            state.changes.insert(key, entry);
            self.news.notify_one();
        }
    }

    /// The next batch; `None` at the end.
    fn take(&self) -> Option<Changes> {
        let idle = |state: &mut State| state.changes.is_empty() && !state.closed;
        let waited = self.news.wait_while(self.lock(), idle);
        let mut state = waited.unwrap_or_else(PoisonError::into_inner);
        let changes = std::mem::take(&mut state.changes);
        state.writing = !changes.is_empty();
        state.writing.then_some(changes)
    }

    fn done(&self, broken: bool) {
        let mut state = self.lock();
        state.writing = false;
        state.broken |= broken;
        if broken {
            state.changes.clear();
        }
        self.written.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.mailbox.lock().closed = true;
        self.mailbox.news.notify_one();
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

fn write(store: &Store, mailbox: &Mailbox) {
    while let Some(changes) = mailbox.take() {
        let written = store.commit(&changes);
        if let Err(fault) = &written {
            tracing::error!(%fault, "the journal ends here: sessions will not outlive this process");
        }
        mailbox.done(written.is_err());
    }
}

/// Removes the journal at `path`, unless a relay has it. True if there was one.
pub fn remove(path: &Path) -> Result<bool, StoreFault> {
    if !path.exists() {
        return Ok(false);
    }
    let held = store::open_alone(path)?;
    std::fs::remove_file(path).map_err(|source| StoreFault::Open {
        path: path.to_owned(),
        source,
    })?;
    drop(held);
    Ok(true)
}

#[cfg(test)]
mod tests;
