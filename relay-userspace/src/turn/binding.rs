//! Binding (RFC 8489 §12): tells anyone their own address, in as few bytes as it takes.

use stun_types::message::Message;

use super::answer::{self, Success};
use super::counters::Counter;
use super::identity::{FiveTuple, Now};
use super::message::{self, Origin};
use super::server::Server;

impl Server {
    pub(super) fn binding(&mut self, now: Now, from: FiveTuple, message: &Message<'_>) {
        let origin = Origin::of(message);
        if let Err(reject) = message::comprehend(message) {
            return self.reject_stranger(now, from, origin, &reject);
        }
        if !self.admit_stranger(now, from) {
            return;
        }
        self.counters.bump(Counter::BindingAnswered);
        let mapped = Success::Binding {
            mapped: from.client,
        };
        self.send(from, answer::success(origin, &mapped, None));
    }
}
