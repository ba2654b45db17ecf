//! What clients still send by the path they left, when another worker has their allocation now: passed on to it, for a
//! while and a bounded number at a time. Never passed on twice.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use super::Driver;
use crate::net::control::Request;
use crate::net::marks::Marks;
use crate::net::stats::Stat;
use crate::net::worker::Context;
use crate::turn::{FORMER, FiveTuple};

/// Messages of one path in the other worker's queue: what a round trip holds at 50 Mbit/s and 50 ms.
const UNDER_WAY: usize = 256;
/// Paths of one worker: a client may leave one after the other as fast as it can ask.
const MOST: usize = 16 << 10;

#[derive(Default)]
pub struct FormerPaths {
    left: HashMap<FiveTuple, Left>,
    /// As they were left, and with that as they end; of one that was left again or forgotten, more often than in `left`.
    ends: VecDeque<(Instant, FiveTuple)>,
}

struct Left {
    /// The worker that has the allocation.
    to: usize,
    until: Instant,
    /// A clone goes along with each message.
    under_way: Arc<()>,
}

/// Data of a client that has left this path.
pub struct Strayed {
    from: FiveTuple,
    marks: Option<Marks>,
    message: Vec<u8>,
    _under_way: Arc<()>,
}

impl FormerPaths {
    pub fn add(&mut self, now: Instant, path: FiveTuple, to: usize) {
        let until = now + FORMER;
        self.make_room(now);
        let left = Left {
            to,
            until,
            under_way: Arc::default(),
        };
        self.left.insert(path, left);
        self.ends.push_back((until, path));
    }

    /// What is over goes, and the oldest of too many.
    fn make_room(&mut self, now: Instant) {
        while let Some((until, path)) = self.ends.front().copied()
            && (until <= now || self.ends.len() >= MOST)
        {
            self.ends.pop_front();
            if self.left.get(&path).is_some_and(|left| left.until == until) {
                self.left.remove(&path);
            }
        }
    }

    /// Somebody else's from now on.
    pub fn forget(&mut self, path: &FiveTuple) {
        self.left.remove(path);
    }
}

impl Driver {
    /// Whether `message` is another worker's to relay, and has gone there or is lost.
    pub(super) fn passes_on(
        &mut self,
        context: &Context<'_>,
        from: FiveTuple,
        marks: Option<Marks>,
        message: &[u8],
    ) -> bool {
        // Nearly always.
        if self.former_paths.left.is_empty() || !is_data(message) {
            return false;
        }
        let Some(left) = self.former_paths.left.get(&from) else {
            return false;
        };
        if left.until <= context.now.mono || self.server.serves(&from) {
            self.former_paths.forget(&from);
            return false;
        }
        let under_way = Arc::clone(&left.under_way);
        let worker = context.shared.worker(left.to);
        let room = Arc::strong_count(&under_way) <= UNDER_WAY + 1;
        let passed = worker.filter(|_| room).is_some_and(|worker| {
            let strayed = Strayed {
                from,
                marks,
                message: message.to_vec(),
                _under_way: under_way,
            };
            worker.send(Request::Strayed(strayed)).is_ok()
        });
        let stat = match passed {
            true => Stat::FormerPath,
            false => Stat::DroppedFormerPath,
        };
        context.stats.add(stat, 1);
        true
    }

    /// From the worker of a path that a client of this one has left.
    pub fn take_strayed(&mut self, context: &mut Context<'_>, strayed: &Strayed) {
        let Strayed {
            from,
            marks,
            message,
            ..
        } = strayed;
        self.former_paths.forget(from);
        // Not of somebody who has that path now.
        if self.server.is_former(from) {
            self.take_message(context, *from, *marks, message);
            self.conclude(context);
        } else {
            context.stats.add(Stat::DroppedFormerPath, 1);
        }
    }
}

/// ChannelData or a Send indication: requests are answered where they come.
fn is_data(message: &[u8]) -> bool {
    matches!(message, [0x40..=0x7F, ..] | [0x00, 0x16, ..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::Transport;

    fn path(number: usize) -> FiveTuple {
        FiveTuple {
            client: format!("10.0.0.{}:{}", number >> 14, 1000 + (number & 0x3FFF))
                .parse()
                .unwrap(),
            server: "192.0.2.1:3478".parse().unwrap(),
            transport: Transport::Udp,
        }
    }

    #[test]
    fn a_client_that_moves_on_and_on_leaves_a_bounded_number_of_paths() {
        let (mut paths, now) = (FormerPaths::default(), Instant::now());
        for number in 0..3 * MOST {
            paths.add(now, path(number), 1);
        }
        assert_eq!((paths.left.len(), paths.ends.len()), (MOST, MOST));
        assert!(paths.left.contains_key(&path(3 * MOST - 1)));
        assert!(!paths.left.contains_key(&path(0)));
        for _ in 0..3 * MOST {
            paths.add(now, path(0), 1);
            paths.forget(&path(0));
        }
        assert!(paths.ends.len() <= MOST);
    }

    #[test]
    fn a_path_ends_when_its_time_is_over_and_one_left_again_later() {
        let (mut paths, now) = (FormerPaths::default(), Instant::now());
        paths.add(now, path(1), 1);
        paths.add(now, path(2), 1);
        paths.add(now + FORMER / 2, path(1), 2);
        paths.add(now + FORMER, path(3), 1);
        assert!(!paths.left.contains_key(&path(2)));
        assert_eq!(paths.left[&path(1)].to, 2);
        paths.add(now + 2 * FORMER, path(4), 1);
        assert_eq!((paths.left.len(), paths.ends.len()), (1, 1));
    }
}
