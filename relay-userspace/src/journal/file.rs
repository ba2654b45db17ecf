//! The file of a journal: private, held against other relays, replaced whole or not at all. Never synced: a reboot ends
//! every session, so only the death of this process has to be outlived, and what it wrote the kernel has.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Of a file that is to replace another.
const UNFINISHED: &str = "new";

#[derive(Debug)]
pub struct Held {
    file: File,
    path: PathBuf,
    end: u64,
}

impl Held {
    /// What is there, or a new file. `WouldBlock`: another process has it.
    pub fn open(path: &Path) -> io::Result<Self> {
        loop {
            let file = lock(OpenOptions::new().truncate(false), path)?;
            let found = file.metadata()?;
            // Its holder may have put another one in its place before it let go of this one.
            if std::fs::metadata(path).is_ok_and(|at_path| at_path.ino() == found.ino()) {
                return Ok(Self {
                    file,
                    path: path.to_owned(),
                    end: found.len(),
                });
            }
        }
    }

    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(self.end).map_err(io::Error::other)?];
        self.file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }

    pub fn len(&self) -> u64 {
        self.end
    }

    /// What failed half-way is written over by the next.
    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, self.end)?;
        self.end += bytes.len() as u64;
        Ok(())
    }

    /// Drops what comes after the first `length` bytes.
    pub fn cut(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.end = length;
        Ok(())
    }

    /// Has what `write` appends to an empty file in place of all it has.
    pub fn replace(&mut self, write: impl FnOnce(&mut Self) -> io::Result<()>) -> io::Result<()> {
        let new = self.path.with_extension(UNFINISHED);
        let mut next = Self {
            file: lock(OpenOptions::new().truncate(true), &new)?,
            path: self.path.clone(),
            end: 0,
        };
        write(&mut next)?;
        std::fs::rename(&new, &self.path)?;
        *self = next;
        Ok(())
    }

    /// Nothing is left of it.
    pub fn remove(self) -> io::Result<()> {
        let _ = std::fs::remove_file(self.path.with_extension(UNFINISHED));
        std::fs::remove_file(&self.path)
    }
}

fn lock(how: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = how
        .read(true)
        .write(true)
        .create(true)
        .mode(0o600)
        .open(path)?;
    file.try_lock().map_err(io::Error::from)?;
    Ok(file)
}
