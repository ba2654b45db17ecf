//! What waits to leave by one stream: answers ahead of data, small datagrams ahead of large ones, data bounded in bytes
//! and age, the oldest dropped first. A message whose first byte has left is never dropped, nor is anything put into it.

mod lane;

use std::collections::{HashMap, VecDeque};
use std::io::IoSlice;
use std::time::{Duration, Instant};

use super::frame::padding;
use lane::{Lane, Pieces};

/// Answers nobody reads beyond it are a client that asks and does not listen.
const CONTROL_BYTES: usize = 64 << 10;
/// Messages of so many bytes at most leave ahead of longer ones: they are most of what a call is understood by, and next
/// to nothing of what fills a link.
pub const BRIEF: usize = 300;

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
pub struct Queue {
    limits: Limits,
    control: VecDeque<u8>,
    /// Bytes of the first answer that are in `control` still, and of each after it.
    answers: VecDeque<u32>,
    /// Audio, feedback, checks of the path: small, and ahead of the others.
    brief: Lane,
    bulk: Lane,
    drops: HashMap<Owner, u64>,
    dropped: u64,
}

impl Queue {
    pub fn new(limits: Limits) -> Queue {
        Queue {
            limits,
            control: VecDeque::new(),
            answers: VecDeque::new(),
            brief: Lane::default(),
            bulk: Lane::default(),
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
        self.push_behind(now, owner, message);
    }

    /// The same, behind whatever waits, however long it has: of who knows that nothing but time kept it.
    pub fn push_behind(&mut self, now: Instant, owner: Owner, message: &[u8]) {
        let length = message.len().next_multiple_of(4);
        while self.data() + length > self.limits.bytes && self.drop_oldest() {}
        if self.data() + length > self.limits.bytes {
            return self.count(owner);
        }
        let lane = match message.len() <= BRIEF {
            true => &mut self.brief,
            false => &mut self.bulk,
        };
        lane.push(now, owner, message);
    }

    /// Drops what waited too long.
    pub fn drop_aged(&mut self, now: Instant) {
        let age = self.limits.age;
        while let Some(owner) = self.bulk.drop_aged(now, age) {
            self.count(owner);
        }
        while let Some(owner) = self.brief.drop_aged(now, age) {
            self.count(owner);
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.control.len() + self.data()
    }

    fn data(&self) -> usize {
        self.brief.len() + self.bulk.len()
    }

    /// What to write next, in order, at most `most` bytes of it. Empty slices are in it.
    pub fn slices(&self, most: usize) -> [IoSlice<'_>; 10] {
        let (brief_begun, brief) = self.brief.split();
        let (bulk_begun, bulk) = self.bulk.split();
        let control = self.control.as_slices();
        // What is left of a message that has begun; then answers; then other data.
        let [a, b, c, d, e] = [brief_begun, bulk_begun, control, brief, bulk];
        let mut left = most;
        [a.0, a.1, b.0, b.1, c.0, c.1, d.0, d.1, e.0, e.1].map(|slice| {
            let slice = &slice[..slice.len().min(left)];
            left -= slice.len();
            IoSlice::new(slice)
        })
    }

    /// The next message alone, or what is left of one that has begun, in two pieces.
    pub fn next_message(&self) -> Pieces<'_> {
        if self.brief.rest_of_begun() > 0 {
            return self.brief.first();
        }
        if self.bulk.rest_of_begun() > 0 {
            return self.bulk.first();
        }
        match self.answers.front() {
            Some(answer) => lane::split(&self.control, *answer as usize).0,
            None if !self.brief.is_empty() => self.brief.first(),
            None => self.bulk.first(),
        }
    }

    /// The first `written` bytes of `slices` have left.
    pub fn advance(&mut self, written: usize) {
        let mut left = written;
        let mut some = |most: usize| {
            let taken = most.min(left);
            left -= taken;
            taken
        };
        let brief_begun = some(self.brief.rest_of_begun());
        let bulk_begun = some(self.bulk.rest_of_begun());
        let control = some(self.control.len());
        let brief = brief_begun + some(self.brief.len() - brief_begun);
        let bulk = bulk_begun + some(self.bulk.len() - bulk_begun);
        self.brief.take(brief);
        self.bulk.take(bulk);
        self.take_control(control);
    }

    /// Datagrams dropped in all.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    pub fn dropped_of(&self, owner: Owner) -> u64 {
        self.drops.get(&owner).copied().unwrap_or_default()
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

    /// False: there is none that has not begun to leave.
    fn drop_oldest(&mut self) -> bool {
        let dropped = self.bulk.drop_oldest().or_else(|| self.brief.drop_oldest());
        if let Some(owner) = dropped {
            self.count(owner);
        }
        dropped.is_some()
    }

    fn count(&mut self, owner: Owner) {
        *self.drops.entry(owner).or_default() += 1;
        self.dropped += 1;
    }
}

#[cfg(test)]
#[path = "queue/tests.rs"]
mod tests;
