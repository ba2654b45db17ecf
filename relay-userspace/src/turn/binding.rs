//! Binding (RFC 8489 §12): tells anyone their own address, in as few bytes as it takes; and which addresses the server has
//! besides, if it has (RFC 5780).

use stun_types::message::Message;

use super::answer::{self, Success};
use super::behavior::{self, Told};
use super::counters::Counter;
use super::identity::{FiveTuple, Now};
use super::message::{self, Origin};
use super::server::Server;

impl Server {
    pub(super) fn binding(&mut self, now: Now, from: FiveTuple, message: &Message<'_>) {
        let origin = Origin::of(message);
        let other = self.config.behavior.and_then(|all| all.other(from));
        let asked = match other {
            Some(other) => message::comprehend_with(message, behavior::ASKED)
                .and_then(|()| behavior::path(message, from, other)),
            None => message::comprehend_with(message, &[behavior::PADDING])
                .map(|()| (from, behavior::echo(message))),
        };
        let (path, padding) = match asked {
            Ok(asked) => asked,
            Err(reject) => return self.reject_stranger(now, from, origin, &reject),
        };
        if !self.admit_stranger(now, from) {
            return;
        }
        self.counters.bump(Counter::BindingAnswered);
        let advertise = &self.config.advertise;
        let mapped = Success::Binding {
            mapped: from.client,
            told: other.map(|other| Told {
                origin: advertise.outward(path.server),
                other: advertise.outward(other),
            }),
            padding,
        };
        self.send(path, answer::success(origin, &mapped, None));
    }
}
