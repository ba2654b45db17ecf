//! Datagrams in the order they leave in, in one piece of memory. A message whose first byte has left is never dropped.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::super::frame::padding;
use super::Owner;

/// Memory an empty lane keeps.
const KEPT: usize = 64 << 10;

#[derive(Debug)]
struct Message {
    /// With padding.
    length: u32,
    owner: Owner,
    queued: Instant,
}

#[derive(Debug, Default)]
pub struct Lane {
    /// The messages of `bytes`, oldest first.
    messages: VecDeque<Message>,
    bytes: VecDeque<u8>,
    /// Bytes of the oldest message that have left, and with that left `bytes`.
    begun: usize,
}

/// Two slices of a ring of bytes, in order.
pub type Pieces<'q> = (&'q [u8], &'q [u8]);

impl Lane {
    pub fn push(&mut self, now: Instant, owner: Owner, message: &[u8]) {
        self.bytes.extend(message);
        self.bytes.extend(padding(message.len()));
        self.messages.push_back(Message {
            length: message.len().next_multiple_of(4) as u32,
            owner,
            queued: now,
        });
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// What is left of a message that has begun to leave.
    pub fn rest_of_begun(&self) -> usize {
        match self.messages.front() {
            Some(oldest) if self.begun > 0 => oldest.length as usize - self.begun,
            _ => 0,
        }
    }

    /// What has begun, and everything else.
    pub fn split(&self) -> (Pieces<'_>, Pieces<'_>) {
        split(&self.bytes, self.rest_of_begun())
    }

    /// The oldest message, or what is left of it.
    pub fn first(&self) -> Pieces<'_> {
        let length = self.messages.front().map_or(0, |oldest| oldest.length);
        split(&self.bytes, length as usize - self.begun).0
    }

    /// So many bytes have left.
    pub fn take(&mut self, mut written: usize) {
        self.bytes.drain(..written);
        while let Some(oldest) = self.messages.front() {
            let rest = oldest.length as usize - self.begun;
            if written < rest {
                self.begun += written;
                break;
            }
            written -= rest;
            self.begun = 0;
            self.messages.pop_front();
            if written == 0 {
                break;
            }
        }
        if self.bytes.is_empty() && self.bytes.capacity() > KEPT {
            *self = Lane::default();
        }
    }

    /// Drops the oldest, and says whose it was. `None`: there is none that has not begun to leave.
    pub fn drop_oldest(&mut self) -> Option<Owner> {
        let rest = self.rest_of_begun();
        let oldest = self.messages.remove(usize::from(rest > 0))?;
        let length = oldest.length as usize;
        match rest {
            0 => drop(self.bytes.drain(..length)),
            rest => {
                // Rare: moved over the gap, since what has begun must stay in front of it.
                let kept: Vec<u8> = self.bytes.drain(..rest + length).take(rest).collect();
                kept.into_iter()
                    .rev()
                    .for_each(|byte| self.bytes.push_front(byte));
            }
        }
        Some(oldest.owner)
    }

    /// The same, if it waited longer than `age`.
    pub fn drop_aged(&mut self, now: Instant, age: Duration) -> Option<Owner> {
        let oldest = self.messages.get(usize::from(self.begun > 0))?;
        let waited = now.saturating_duration_since(oldest.queued);
        (waited > age).then(|| self.drop_oldest()).flatten()
    }
}

/// The first `at` bytes, and the others.
pub fn split(bytes: &VecDeque<u8>, at: usize) -> (Pieces<'_>, Pieces<'_>) {
    let (first, second) = bytes.as_slices();
    let (head, tail) = first.split_at(at.min(first.len()));
    let (head_more, tail_more) = second.split_at(at - head.len());
    ((head, head_more), (tail, tail_more))
}
