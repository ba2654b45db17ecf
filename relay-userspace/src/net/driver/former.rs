//! What clients still send by the path they left, when another worker has their allocation now: passed on to it, for a
//! while and a bounded number at a time. Never passed on twice.

use std::collections::HashMap;
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

#[derive(Default)]
pub struct FormerPaths {
    left: HashMap<FiveTuple, Left>,
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
        self.left.retain(|_, left| left.until > now);
        let left = Left {
            to,
            until: now + FORMER,
            under_way: Arc::default(),
        };
        self.left.insert(path, left);
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
