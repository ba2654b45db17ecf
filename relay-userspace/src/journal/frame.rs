//! The bytes of a journal: a mark, then frames of records. A frame is a commit: it counts whole, by its checksum, or not
//! at all. Knows neither what records mean nor where the bytes are.
//!
//! ```text
//! frame   length u32 | CRC-32 u32 | records, `length` bytes
//! record  length of key u32 | length of value u32 | key | value      no value: nothing is kept by this key any more
//! ```
//!
//! All numbers are little-endian.

/// How a file of ours begins. The digit changes with the form of frames and records.
pub const MARK: &[u8; 16] = b"relay journal 2\n";

const HEAD: usize = 8;

/// A frame that grows.
#[derive(Default)]
pub struct Frame {
    bytes: Vec<u8>,
}

impl Frame {
    /// `write` appends the value, if there is to be one.
    pub fn add<E>(
        &mut self,
        key: &str,
        write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.bytes.is_empty() {
            self.bytes.resize(HEAD, 0);
        }
        let at = self.bytes.len();
        self.bytes.resize(at + HEAD, 0);
        self.bytes.extend_from_slice(key.as_bytes());
        let value = self.bytes.len();
        write(&mut self.bytes)?;
        let length = self.bytes.len() - value;
        put(&mut self.bytes[at..], key.len());
        put(&mut self.bytes[at + 4..], length);
        Ok(())
    }

    /// As it stands in the file; nothing if there are no records.
    pub fn seal(&mut self) -> &[u8] {
        if let Some(length) = self.bytes.len().checked_sub(HEAD) {
            let sum = crc32fast::hash(&self.bytes[HEAD..]);
            put(&mut self.bytes, length);
            self.bytes[4..HEAD].copy_from_slice(&sum.to_le_bytes());
        }
        &self.bytes
    }

    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
    }
}

/// The frames after the mark that are whole, up to the first that is not.
pub struct Frames<'a> {
    bytes: &'a [u8],
    whole: usize,
}

/// Its records.
pub struct Records<'a>(&'a [u8]);

pub struct Record<'a> {
    pub key: &'a str,
    pub value: Option<&'a [u8]>,
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
mod tests {
    use super::*;

    fn frame(records: &[(&str, &[u8])]) -> Vec<u8> {
        let mut frame = Frame::default();
        for (key, value) in records {
            let write = |bytes: &mut Vec<u8>| {
                bytes.extend_from_slice(value);
                Ok::<_, ()>(())
            };
            frame.add(key, write).unwrap();
        }
        frame.seal().to_vec()
    }

    fn read(bytes: &[u8]) -> (Vec<(String, Vec<u8>)>, usize) {
        let mut frames = Frames::of(bytes).unwrap();
        let mut all = Vec::new();
        for records in &mut frames {
            all.extend(records.map(|r| (r.key.to_owned(), r.value.unwrap_or_default().to_vec())));
        }
        (all, frames.whole())
    }

    fn two_frames() -> (Vec<u8>, [usize; 3]) {
        let (first, second) = (
            frame(&[("a", b"one"), ("b", b"")]),
            frame(&[("a", b"three"), ("c", &[7; 300])]),
        );
        let ends = [MARK.len(), MARK.len() + first.len()];
        let bytes = [MARK, &first[..], &second[..]].concat();
        let end = bytes.len();
        (bytes, [ends[0], ends[1], end])
    }

    #[test]
    fn a_tail_cut_at_any_byte_leaves_the_frames_before_it() {
        let (bytes, ends) = two_frames();
        for length in MARK.len()..=bytes.len() {
            let frames = ends.iter().rposition(|end| *end <= length).unwrap();
            let (records, whole) = read(&bytes[..length]);
            assert_eq!(
                (records.len(), whole),
                (2 * frames, ends[frames]),
                "{length}"
            );
        }
        assert!(Frames::of(&bytes[..MARK.len() - 1]).is_none());
    }

    #[test]
    fn a_frame_with_any_bit_turned_does_not_count_and_nothing_after_it() {
        let (bytes, ends) = two_frames();
        for at in ends[0]..ends[1] {
            for bit in 0..8 {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << bit;
                assert_eq!(read(&bytes), (Vec::new(), ends[0]), "byte {at}, bit {bit}");
            }
        }
    }

    #[test]
    fn zeros_are_no_frames_and_an_empty_frame_is_no_bytes() {
        let bytes = [MARK, &[0; 64][..]].concat();
        assert_eq!(read(&bytes), (Vec::new(), MARK.len()));
        assert!(frame(&[]).is_empty());
    }
}
