//! The bytes of a journal: a mark, then frames of records. A frame is a commit: it counts whole, by its checksum, or not
//! at all. Knows neither what records mean nor where the bytes are.
//!
//! ```text
//! frame   length u32 | CRC-32 u32 | records, `length` bytes
//! record  length of key u32 | length of value u32 | key | value      no value: nothing is kept by this key any more
//! ```
//!
//! All numbers are little-endian.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::fmt::Display;
use std::io::Write as _;

/// How a file of ours begins. The digit changes with the form of frames and records.
pub const MARK: &[u8; 16] = b"relay journal 2\n";

const HEAD: usize = 8;
/// Of frames that are no commit of anybody's.
const USUAL: usize = 64 << 10;

/// Memory an empty frame keeps for the next records.
const KEPT: usize = 1 << 20;

/// A frame that grows.
#[derive(Default)]
pub struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    /// `write` appends the value, if there is to be one. Where it fails, there is no record.
    pub fn add<E>(
        &mut self,
        key: impl Display,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.bytes.is_empty() {
            self.bytes.resize(HEAD, 0);
        }
        let at = self.bytes.len();
        self.bytes.resize(at + HEAD, 0);
        write!(self.bytes, "{key}").expect("memory takes every byte");
        let value = self.bytes.len();
        if let Err(fault) = write(&mut self.bytes) {
            self.bytes.truncate(at);
            return Err(fault);
        }
        let length = self.bytes.len() - value;
        put(&mut self.bytes[at..], value - at - HEAD);
        put(&mut self.bytes[at + 4..], length);
        Ok(())
    }

    fn copy(&mut self, record: &Record<'_>) {
        let copied = self.add(record.key, |bytes| {
            bytes.extend_from_slice(record.value.unwrap_or_default());
            Ok::<_, Infallible>(())
        });
        let Ok(()) = copied;
    }

    /// Takes out every record that a later one replaces.
    pub fn forget_replaced(&mut self) {
        let mut shorter = Frame::default();
        for record in latest(self.records()).values() {
            shorter.copy(record);
        }
        *self = shorter;
    }

    /// As it stands in the file; nothing if there are no records.
    pub fn seal(&mut self) -> &[u8] {
        if !self.is_empty() {
            let (length, sum) = (
                self.bytes.len() - HEAD,
                crc32fast::hash(&self.bytes[HEAD..]),
            );
            put(&mut self.bytes, length);
            self.bytes[4..HEAD].copy_from_slice(&sum.to_le_bytes());
        }
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.len() <= HEAD
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT);
    }

    fn records(&self) -> Records<'_> {
        Records(self.bytes.get(HEAD..).unwrap_or_default())
    }
}

/// Frames of the usual length with these records, each handed to `take` as it stands in the file.
pub fn write_all<'a, E>(
    records: impl IntoIterator<Item = &'a Record<'a>>,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut frame = Frame::default();
    for record in records {
        frame.copy(record);
        if frame.len() >= USUAL {
            take(frame.seal())?;
            frame.clear();
        }
    }
    match frame.is_empty() {
        true => Ok(()),
        false => take(frame.seal()),
    }
}

/// The last record of each key.
pub fn latest<'a>(records: impl Iterator<Item = Record<'a>>) -> BTreeMap<&'a str, Record<'a>> {
    records.map(|record| (record.key, record)).collect()
}

/// The frames after the mark that are whole, up to the first that is not.
pub struct Frames<'a> {
    bytes: &'a [u8],
    whole: usize,
}

/// Its records.
pub struct Records<'a>(&'a [u8]);

#[derive(Clone, Copy)]
pub struct Record<'a> {
    pub key: &'a str,
    pub value: Option<&'a [u8]>,
}

impl Record<'_> {
    /// In the file.
    pub fn size(&self) -> usize {
        HEAD + self.key.len() + self.value.map_or(0, <[u8]>::len)
    }
}

impl<'a> Frames<'a> {
    /// `None`: it is no journal of this form.
    pub fn of(bytes: &'a [u8]) -> Option<Self> {
        bytes.starts_with(MARK).then_some(Self {
            bytes,
            whole: MARK.len(),
        })
    }

    /// Bytes from the beginning that were good so far.
    pub fn whole(&self) -> usize {
        self.whole
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Records<'a>;

    fn next(&mut self) -> Option<Records<'a>> {
        let rest = &self.bytes[self.whole..];
        let length = number(rest)?;
        let sum = number(rest.get(4..)?)?;
        let records = rest.get(HEAD..HEAD.checked_add(length)?)?;
        // A frame of nothing is never written, but zeros would look like one.
        if length == 0 || crc32fast::hash(records) as usize != sum {
            return None;
        }
        self.whole += HEAD + length;
        Some(Records(records))
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let (key, value) = (number(self.0)?, number(self.0.get(4..)?)?);
        let (key, rest) = self.0[HEAD..].split_at_checked(key)?;
        let (value, rest) = rest.split_at_checked(value)?;
        self.0 = rest;
        Some(Record {
            key: std::str::from_utf8(key).ok()?,
            value: (!value.is_empty()).then_some(value),
        })
    }
}

fn number(bytes: &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(*bytes.first_chunk()?) as usize)
}

/// A commit of 4 GiB would not fit the memory it is made in.
fn put(bytes: &mut [u8], length: usize) {
    let length = u32::try_from(length).expect("a frame is shorter than 4 GiB");
    bytes[..4].copy_from_slice(&length.to_le_bytes());
}

#[cfg(test)]
mod tests;
