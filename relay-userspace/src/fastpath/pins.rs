//! The directory of pinned maps and links, which outlive a process: all of one ABI, or none. Loads nothing itself.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use aya::maps::{Array, Map, MapData, MapInfo};
use aya::programs::links::{FdLink, PinnedLink};
use relay_common::{ABI_VERSION, HashKey, MAX_SESSIONS, Stamp, buckets_for, maps};

use super::bpffs;

/// Why nothing can be pinned.
#[derive(Debug, thiserror::Error)]
pub enum PinFault {
    #[error("prepare {}: {source}", .directory.display())]
    Prepare {
        directory: PathBuf,
        source: io::Error,
    },
    #[error("another relay uses {}: give one of them its own kernel.pin_directory", .0.display())]
    InUse(PathBuf),
    #[error("remove {}: {source}", .path.display())]
    Remove { path: PathBuf, source: io::Error },
}

/// The directory, held against other relays.
#[derive(Debug)]
pub struct Pins {
    directory: PathBuf,
    _held: File,
}

/// Tables an earlier process left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    pub key: HashKey,
    /// Sessions they have room for.
    pub sessions: u32,
}

const LINK: &str = "link-";

impl Pins {
    /// Makes the directory where needed and takes hold of it.
    pub fn open(directory: &Path) -> Result<Self, PinFault> {
        let prepare = |source| PinFault::Prepare {
            directory: directory.to_owned(),
            source,
        };
        bpffs::ensure(directory).map_err(prepare)?;
        let held = File::open(directory).map_err(prepare)?;
        match held.try_lock() {
            Ok(()) => Ok(Self {
                directory: directory.to_owned(),
                _held: held,
            }),
            Err(fs::TryLockError::WouldBlock) => Err(PinFault::InUse(directory.to_owned())),
            Err(fs::TryLockError::Error(source)) => Err(prepare(source)),
        }
    }

    /// What is there: nothing, tables to adopt, or the reason why they cannot be.
    pub fn kept(&self) -> Result<Option<Kept>, String> {
        if self.names().is_empty() {
            return Ok(None);
        }
        let stamp = self.stamp()?;
        match stamp.abi {
            0 => return Err("they were never completed".to_owned()),
            ABI_VERSION => {}
            other => {
                return Err(format!(
                    "they have ABI {other}, this relay has {ABI_VERSION}"
                ));
            }
        }
        let mut infos = Vec::new();
        for name in maps::PINNED {
            let info = MapInfo::from_pin(self.map(name)).map_err(|e| format!("{name}: {e}"))?;
            infos.push((name, info));
        }
        let entries = |wanted: &str| {
            let found = infos.iter().find(|(name, _)| *name == wanted);
            found.map_or(0, |(_, info)| info.max_entries())
        };
        let (sessions, buckets) = (entries(maps::SESSIONS), entries(maps::BUCKETS));
        if !(1..=MAX_SESSIONS).contains(&sessions) || buckets != buckets_for(sessions) {
            return Err(format!(
                "{sessions} sessions and {buckets} buckets do not fit"
            ));
        }
        Ok(Some(Kept {
            key: stamp.key,
            sessions,
        }))
    }

    /// Where a map is pinned.
    pub fn map(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The link an earlier process left on a card.
    pub fn link(&self, ifindex: u32, mode: &str) -> Option<FdLink> {
        let link = PinnedLink::from_pin(self.link_path(ifindex, mode));
        link.ok().map(FdLink::from)
    }

    /// Makes `link` outlive this process; it may be pinned already.
    pub fn keep_link(&self, link: FdLink, ifindex: u32, mode: &str) -> Result<FdLink, String> {
        let path = self.link_path(ifindex, mode);
        if path.exists() {
            return Ok(link);
        }
        let pinned = link.pin(&path).map_err(|e| e.to_string())?;
        Ok(pinned.into())
    }

    /// Removes the links of all cards but these: with its last holder gone, a link detaches.
    pub fn keep_only_links(&self, cards: &[(u32, &str)]) {
        let keep: Vec<_> = cards.iter().map(|(i, mode)| link_name(*i, mode)).collect();
        for name in self.names() {
            if name.starts_with(LINK) && !keep.contains(&name) {
                let _ = fs::remove_file(self.directory.join(name));
            }
        }
    }

    /// Removes every pin.
    pub fn clear(&self) -> Result<(), PinFault> {
        // Links first: then the program is off the cards before its tables go.
        let mut names = self.names();
        names.sort_by_key(|name| !name.starts_with(LINK));
        for name in names {
            let path = self.directory.join(name);
            fs::remove_file(&path).map_err(|source| PinFault::Remove { path, source })?;
        }
        Ok(())
    }

    fn link_path(&self, ifindex: u32, mode: &str) -> PathBuf {
        self.directory.join(link_name(ifindex, mode))
    }

    /// Every entry; nobody else has business in this directory.
    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory)
            .into_iter()
            .flatten()
            .flatten();
        entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect()
    }

    fn stamp(&self) -> Result<Stamp, String> {
        let unread = |e: aya::maps::MapError| format!("{}: {e}", maps::STAMP);
        let info = MapInfo::from_pin(self.map(maps::STAMP)).map_err(unread)?;
        if info.value_size() as usize != size_of::<Stamp>() {
            return Err("they are of another relay".to_owned());
        }
        let data = MapData::from_pin(self.map(maps::STAMP)).map_err(unread)?;
        let stamp: Array<_, Stamp> = Map::Array(data).try_into().map_err(unread)?;
        stamp.get(&0, 0).map_err(unread)
    }
}

/// Removes what is pinned at `directory`, whoever made it. True if there was anything.
pub fn remove(directory: &Path) -> Result<bool, PinFault> {
    if !directory.exists() {
        return Ok(false);
    }
    let pins = Pins::open(directory)?;
    let any = !pins.names().is_empty();
    pins.clear()?;
    // Stays where it is a mount point, or not ours to remove.
    let _ = fs::remove_dir(directory);
    Ok(any)
}

fn link_name(ifindex: u32, mode: &str) -> String {
    format!("{LINK}{ifindex}-{mode}")
}
