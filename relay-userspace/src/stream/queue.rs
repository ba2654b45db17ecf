//! What waits to leave by one stream: answers ahead of data, data bounded in bytes and age, the oldest dropped first.
//! A message whose first byte has left is never dropped, nor is anything put into it.

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::time::{Duration, Instant};

use super::frame::padding;

/// Answers nobody reads beyond it are a client that asks and does not listen.
const CONTROL_BYTES: usize = 64 << 10;
/// Memory an empty queue keeps.
const KEPT: usize = 64 << 10;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub bytes: usize,
    pub age: Duration,
}

/// Names whose data it is: a channel number, 0 for Data indications.
pub type Owner = u16;

/// The client asks and never reads: its connection is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread;

#[derive(Debug)]
struct Message {
    /// With padding.
    length: u32,
    owner: Owner,
    queued: Instant,
}

#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    control: VecDeque<u8>,
    /// Bytes of the first answer that are in `control` still, and of each after it.
    answers: VecDeque<u32>,
    /// The messages of `data`, oldest first.
    messages: VecDeque<Message>,
    data: VecDeque<u8>,
    /// Bytes of the oldest message that have left, and with that left `data`.
    begun: usize,
    drops: HashMap<Owner, u64>,
    dropped: u64,
}

impl Queue {
    pub fn new(limits: Limits) -> Queue {
        Queue {
            limits,
            control: VecDeque::new(),
            answers: VecDeque::new(),
            messages: VecDeque::new(),
            data: VecDeque::new(),
            begun: 0,
            drops: HashMap::new(),
            dropped: 0,
        }
    }

    /// Queues a STUN answer. Those are not dropped: too many that wait end the connection.
    pub fn push_control(&mut self, message: &[u8]) -> Result<(), Unread> {
        if self.control.len() + message.len() > CONTROL_BYTES {
            return Err(Unread);
        }
        self.control.extend(message);
        self.control.extend(padding(message.len()));
        let length = message.len().next_multiple_of(4);
        self.answers.push_back(length as u32);
        Ok(())
    }

    /// Queues bytes as they are, for who waits until the queue is empty before the next.
    pub fn push_bytes(&mut self, bytes: &[u8]) {
        self.control.extend(bytes);
        // Who takes one message after another (TLS) would find none and never come to an end.
        self.answers.push_back(bytes.len() as u32);
    }

    /// Queues a datagram of `owner` in its frame. What is too old, or too much, makes room, oldest first.
    pub fn push_data(&mut self, now: Instant, owner: Owner, message: &[u8]) {
        self.drop_aged(now);
        let length = message.len().next_multiple_of(4);
        while self.data.len() + length > self.limits.bytes && self.drop_oldest() {}
        if self.data.len() + length > self.limits.bytes {
            return self.count(owner);
        }
        self.data.extend(message);
        self.data.extend(padding(message.len()));
        self.messages.push_back(Message {
            length: length as u32,
            owner,
            queued: now,
        });
    }

    /// Drops what waited too long.
    pub fn drop_aged(&mut self, now: Instant) {
        while let Some(oldest) = self.messages.get(usize::from(self.begun > 0)) {
            let aged = now.saturating_duration_since(oldest.queued) > self.limits.age;
            if !aged || !self.drop_oldest() {
                break;
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.control.is_empty() && self.data.is_empty()
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.control.len() + self.data.len()
    }

    /// What to write next, in order, at most `most` bytes of it. Empty slices are in it.
    pub fn slices(&self, most: usize) -> [IoSlice<'_>; 6] {
        // What is left of a message that has begun; then answers; then other data.
        let begun = self.rest_of_begun();
        let (first, second) = self.data.as_slices();
        let (head, tail) = first.split_at(begun.min(first.len()));
        let (head_more, tail_more) = second.split_at(begun - head.len());
        let (control, control_more) = self.control.as_slices();
        let mut left = most;
        [head, head_more, control, control_more, tail, tail_more].map(|slice| {
            let slice = &slice[..slice.len().min(left)];
            left -= slice.len();
            IoSlice::new(slice)
        })
    }

    /// The next message alone, or what is left of one that has begun, in two pieces.
    pub fn next_message(&self) -> (&[u8], &[u8]) {
        let (bytes, length) = match (self.rest_of_begun(), self.answers.front()) {
            (0, Some(answer)) => (&self.control, *answer as usize),
            (0, None) => {
                let length = self.messages.front().map_or(0, |oldest| oldest.length);
                (&self.data, length as usize)
            }
            (begun, _) => (&self.data, begun),
        };
        let (first, second) = bytes.as_slices();
        let first = &first[..first.len().min(length)];
        (first, &second[..length - first.len()])
    }

    /// The first `written` bytes of `slices` have left.
    pub fn advance(&mut self, mut written: usize) {
        let rest = self.rest_of_begun().min(written);
        self.take_data(rest);
        written -= rest;
        let control = self.control.len().min(written);
        self.take_control(control);
        self.take_data(written - control);
        if self.data.is_empty() && self.data.capacity() > KEPT {
            self.data = VecDeque::new();
            self.messages = VecDeque::new();
        }
    }

    /// Datagrams dropped in all.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    pub fn dropped_of(&self, owner: Owner) -> u64 {
        self.drops.get(&owner).copied().unwrap_or_default()
    }

    fn rest_of_begun(&self) -> usize {
        match self.messages.front() {
            Some(oldest) if self.begun > 0 => oldest.length as usize - self.begun,
            _ => 0,
        }
    }

    fn take_control(&mut self, mut written: usize) {
        self.control.drain(..written);
        while let Some(first) = self.answers.front_mut() {
            let taken = written.min(*first as usize);
            *first -= taken as u32;
            written -= taken;
            if *first > 0 {
                break;
            }
            self.answers.pop_front();
        }
    }

    fn take_data(&mut self, mut written: usize) {
        self.data.drain(..written);
        while let Some(oldest) = self.messages.front() {
            let rest = oldest.length as usize - self.begun;
            if written < rest {
                self.begun += written;
                return;
            }
            written -= rest;
            self.begun = 0;
            self.messages.pop_front();
            if written == 0 {
                return;
            }
        }
    }

    /// False: there is none that has not begun to leave.
    fn drop_oldest(&mut self) -> bool {
        let rest = self.rest_of_begun();
        let Some(oldest) = self.messages.remove(usize::from(rest > 0)) else {
            return false;
        };
        let length = oldest.length as usize;
        match rest {
            0 => drop(self.data.drain(..length)),
            rest => {
                // Rare: moved over the gap, since what has begun must stay in front of it.
                let kept: Vec<u8> = self.data.drain(..rest + length).take(rest).collect();
                kept.into_iter()
                    .rev()
                    .for_each(|byte| self.data.push_front(byte));
            }
        }
        self.count(oldest.owner);
        true
    }

    fn count(&mut self, owner: Owner) {
        *self.drops.entry(owner).or_default() += 1;
        self.dropped += 1;
    }
}

#[cfg(test)]
#[path = "queue/tests.rs"]
mod tests;
