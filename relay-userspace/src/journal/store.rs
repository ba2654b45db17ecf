//! The journal as a table of texts, kept as a log of what changed. A commit is whole or not there, whenever the process
//! dies; what was replaced since is left out when the log is written anew. Why so: `docs/decisions/0019-journal.md`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

use super::entry::{Entry, Remembered};
use super::file::Held;
use super::frame::{self, Frame, Frames, MARK, Record};

const IDENTITY: &str = "about/identity";
const NONCE_KEY: &str = "about/nonce_key";

/// The log may be this much longer than twice what it keeps.
const SLACK: u64 = 1 << 20;

/// Whose journal it is. Only one of the same identity is read.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// Raised when an older relay's entries mean something else. More fields in them mean nothing else.
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
    #[error("write to it: {0}")]
    Write(#[source] io::Error),
    #[error("encode what it is of: {0}")]
    Encode(#[from] rmp_serde::encode::Error),
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
    file: Held,
    /// Length at which the log is written anew.
    full: u64,
}

/// What a log says in the end.
struct Table<'a> {
    latest: BTreeMap<&'a str, Record<'a>>,
    /// Bytes of the log that are whole frames.
    whole: u64,
}

/// The file, held against other relays.
pub fn open_alone(path: &Path) -> Result<Held, StoreFault> {
    Held::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => StoreFault::InUse(path.to_owned()),
        _ => opening(path)(source),
    })
}

fn opening(path: &Path) -> impl FnOnce(io::Error) -> StoreFault {
    let path = path.to_owned();
    |source| StoreFault::Open { path, source }
}

impl Store {
    /// A file that is no journal, after a power failure for example, makes room for one.
    pub fn open(
        path: &Path,
        identity: &Identity,
        nonce_key: [u8; 32],
    ) -> Result<(Self, Remembered), StoreFault> {
        let mut store = Self {
            file: open_alone(path)?,
            full: SLACK,
        };
        let bytes = store.file.read().map_err(opening(path))?;
        if let Some(table) = Table::of(&bytes) {
            match table.get::<Identity>(IDENTITY) {
                Some(found) if found == *identity => {
                    store.go_on(&table)?;
                    return Ok((store, table.remembered(nonce_key)));
                }
                Some(found) if found.boot == identity.boot => tracing::warn!(
                    ?found,
                    ?identity,
                    "the journal does not fit: every session starts anew"
                ),
                _ => {}
            }
        } else if !bytes.is_empty() {
            let what = what_is(&bytes);
            tracing::warn!(path = %path.display(), "{what}: every session starts anew");
        }
        store.begin(identity, nonce_key)?;
        let remembered = Remembered {
            nonce_key,
            ..Remembered::default()
        };
        Ok((store, remembered))
    }

    /// Writes a batch, all of it or nothing.
    pub fn commit(&mut self, batch: &mut Frame) -> Result<(), StoreFault> {
        self.file.append(batch.seal()).map_err(StoreFault::Write)
    }

    /// Writes the log anew if most of it was replaced since.
    pub fn tidy(&mut self) -> io::Result<()> {
        if self.file.len() < self.full {
            return Ok(());
        }
        // Not again at once, should this fail.
        self.full = self.file.len() + SLACK;
        let bytes = self.file.read()?;
        let table = Table::of(&bytes).ok_or(io::ErrorKind::InvalidData)?;
        self.file.replace(|file| {
            file.append(MARK)?;
            frame::write_all(table.latest.values(), |frame| file.append(frame))
        })?;
        self.full = 2 * self.file.len() + SLACK;
        Ok(())
    }

    /// After what `table` says.
    fn go_on(&mut self, table: &Table<'_>) -> Result<(), StoreFault> {
        let torn = self.file.len() - table.whole;
        if torn > 0 {
            tracing::warn!(torn, "bytes at the journal's end are no commit: cut off");
            self.file.cut(table.whole).map_err(StoreFault::Write)?;
        }
        self.full = 2 * table.size() + SLACK;
        Ok(())
    }

    /// Empties the journal; it is of `identity` from now on.
    fn begin(&mut self, identity: &Identity, nonce_key: [u8; 32]) -> Result<(), StoreFault> {
        let mut about = Frame::default();
        about.add(IDENTITY, |bytes| {
            rmp_serde::encode::write_named(bytes, identity)
        })?;
        about.add(NONCE_KEY, |bytes| {
            rmp_serde::encode::write(bytes, &nonce_key)
        })?;
        let replaced = self.file.replace(|file| {
            file.append(MARK)?;
            file.append(about.seal())
        });
        replaced.map_err(StoreFault::Write)
    }
}

impl<'a> Table<'a> {
    /// `None`: it is no log of ours.
    fn of(bytes: &'a [u8]) -> Option<Self> {
        let mut frames = Frames::of(bytes)?;
        let mut latest = frame::latest(frames.by_ref().flatten());
        latest.retain(|_, record| record.value.is_some());
        Some(Self {
            latest,
            whole: frames.whole() as u64,
        })
    }

    fn get<T: DeserializeOwned>(&self, key: &str) -> Option<T> {
        rmp_serde::from_slice(self.latest.get(key)?.value?).ok()
    }

    fn size(&self) -> u64 {
        let sizes = self.latest.values().map(Record::size);
        sizes.sum::<usize>() as u64
    }

    /// Entries that cannot be read are left out, and said.
    fn remembered(&self, nonce_key: [u8; 32]) -> Remembered {
        let mut remembered = Remembered {
            nonce_key: self.get(NONCE_KEY).unwrap_or(nonce_key),
            ..Remembered::default()
        };
        let about = [IDENTITY, NONCE_KEY];
        let entries = self.latest.values().filter(|one| !about.contains(&one.key));
        for Record { key, value } in entries {
            match Entry::read(value.unwrap_or_default()) {
                Ok(entry) => remembered.add(entry),
                Err(fault) => tracing::warn!(%fault, key, "an entry is not readable"),
            }
        }
        remembered
    }
}

/// Which is not of this form.
fn what_is(bytes: &[u8]) -> &'static str {
    let (of_us, _) = MARK.split_at(MARK.len() - 2);
    match bytes.starts_with(of_us) {
        true => "a journal of another version of relay, which this one cannot read",
        false => "not a journal; a new one is made",
    }
}
