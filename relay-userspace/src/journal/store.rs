//! The journal as a table of texts in a `redb` file. A commit is whole or not there, whenever the process dies.

use std::io;
use std::path::{Path, PathBuf};

use redb::{Builder, Database, ReadableDatabase, ReadableTable, TableDefinition};

use super::Changes;
use super::entry::{Entry, Remembered};
use super::file::Unsynced;

/// Key as text to JSON. JSON, because a newer relay may read it.
const ENTRIES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("entries");
/// Name to JSON.
const ABOUT: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("about");

const IDENTITY: &str = "identity";
const NONCE_KEY: &str = "nonce_key";

/// Memory the store may keep pages in.
const CACHE: usize = 16 << 20;

/// Whose journal it is. Only one of the same identity is read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Raised when an older relay's entries mean something else.
    pub format: u32,
    pub boot: String,
    /// Allocations belong to the worker the kernel gives their client's packets to.
    pub workers: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum StoreFault {
    #[error("another relay uses {}: give one of them its own state directory", .0.display())]
    InUse(PathBuf),
    #[error("open {}: {source}", .path.display())]
    Open { path: PathBuf, source: io::Error },
    #[error("read which boot this is: {0}")]
    Boot(io::Error),
    #[error("start its thread: {0}")]
    Thread(io::Error),
    #[error("{0}")]
    Store(#[from] redb::Error),
    #[error("encode an entry: {0}")]
    Encode(#[from] serde_json::Error),
}

impl Identity {
    pub fn current(workers: usize) -> Result<Self, StoreFault> {
        let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id");
        Ok(Self {
            format: 1,
            boot: boot.map_err(StoreFault::Boot)?.trim().to_owned(),
            workers,
        })
    }
}

pub struct Store {
    database: Database,
}

/// The file, held against other relays.
pub fn open_alone(path: &Path) -> Result<Unsynced, StoreFault> {
    Unsynced::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => StoreFault::InUse(path.to_owned()),
        _ => StoreFault::Open {
            path: path.to_owned(),
            source,
        },
    })
}

impl Store {
    pub fn open(
        path: &Path,
        identity: &Identity,
        nonce_key: [u8; 32],
    ) -> Result<(Self, Remembered), StoreFault> {
        let store = Self::open_file(path)?;
        match store.about::<Identity>(IDENTITY) {
            Some(found) if found == *identity => {
                let nonce_key = store.about(NONCE_KEY).unwrap_or(nonce_key);
                let remembered = store.read(nonce_key)?;
                return Ok((store, remembered));
            }
            Some(found) if found.boot == identity.boot => tracing::warn!(
                ?found,
                ?identity,
                "the journal does not fit: every session starts anew"
            ),
            _ => {}
        }
        store.begin(identity, nonce_key)?;
        let remembered = Remembered {
            nonce_key,
            ..Remembered::default()
        };
        Ok((store, remembered))
    }

    /// Writes a batch, all of it or nothing.
    pub fn commit(&self, changes: &Changes) -> Result<(), StoreFault> {
        let transaction = self.database.begin_write().map_err(redb::Error::from)?;
        {
            let table = transaction.open_table(ENTRIES);
            let mut table = table.map_err(redb::Error::from)?;
            for (key, entry) in changes {
                let key = key.to_string();
                let done = match entry {
                    Some(entry) => table
                        .insert(&*key, &*serde_json::to_vec(entry)?)
                        .map(|_| ()),
                    None => table.remove(&*key).map(|_| ()),
                };
                done.map_err(redb::Error::from)?;
            }
        }
        transaction.commit().map_err(redb::Error::from)?;
        Ok(())
    }

    /// A file that is no journal, after a power failure for example, makes room for one.
    fn open_file(path: &Path) -> Result<Self, StoreFault> {
        let open = || {
            let file = open_alone(path)?;
            let database = Builder::new()
                .set_cache_size(CACHE)
                .create_with_backend(file);
            Ok::<_, StoreFault>(database.map(|database| Self { database }))
        };
        match open()? {
            Ok(store) => Ok(store),
            Err(fault) => {
                tracing::warn!(%fault, path = %path.display(), "not a journal: a new one is made");
                let _ = super::remove(path);
                Ok(open()?.map_err(redb::Error::from)?)
            }
        }
    }

    /// Empties the journal; it is of `identity` from now on.
    fn begin(&self, identity: &Identity, nonce_key: [u8; 32]) -> Result<(), StoreFault> {
        let transaction = self.database.begin_write().map_err(redb::Error::from)?;
        transaction
            .delete_table(ENTRIES)
            .map_err(redb::Error::from)?;
        transaction.delete_table(ABOUT).map_err(redb::Error::from)?;
        transaction.open_table(ENTRIES).map_err(redb::Error::from)?;
        {
            let about = transaction.open_table(ABOUT);
            let mut about = about.map_err(redb::Error::from)?;
            let about_it = [
                (IDENTITY, serde_json::to_vec(identity)?),
                (NONCE_KEY, serde_json::to_vec(&nonce_key)?),
            ];
            for (name, bytes) in about_it {
                about.insert(name, &*bytes).map_err(redb::Error::from)?;
            }
        }
        transaction.commit().map_err(redb::Error::from)?;
        Ok(())
    }

    fn about<T: serde::de::DeserializeOwned>(&self, name: &str) -> Option<T> {
        let transaction = self.database.begin_read().ok()?;
        let table = transaction.open_table(ABOUT).ok()?;
        let found = table.get(name).ok()??;
        serde_json::from_slice(found.value()).ok()
    }

    /// Entries that cannot be read are left out, and said.
    fn read(&self, nonce_key: [u8; 32]) -> Result<Remembered, StoreFault> {
        let mut remembered = Remembered {
            nonce_key,
            ..Remembered::default()
        };
        let transaction = self.database.begin_read().map_err(redb::Error::from)?;
        let table = transaction.open_table(ENTRIES);
        let table = table.map_err(redb::Error::from)?;
        for row in table.iter().map_err(redb::Error::from)? {
            let (key, value) = row.map_err(redb::Error::from)?;
            match serde_json::from_slice::<Entry>(value.value()) {
                Ok(entry) => remembered.add(entry),
                Err(fault) => tracing::warn!(%fault, key = key.value(), "an entry is not readable"),
            }
        }
        Ok(remembered)
    }
}
