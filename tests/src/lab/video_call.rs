//! A video call whose caller is behind a router that stops to pass UDP in mid-call, and passes it again later.
//!
//! ffmpeg encodes and decodes at both ends; `relay connect` in `UDP_OVER_TCP` is all that the caller's host has of the relay.

mod calls;
mod connector;
mod line;
mod measure;
mod outcome;
mod phone;
mod round;
mod screen;
mod track;
mod uplink;

use std::time::{Duration, Instant};

use anyhow::Result;

use super::interrupt::Interrupt;
use crate::netns::NetNs;
use crate::trust::Trust;

pub use calls::Calls;
pub use outcome::Outcome;
pub use round::Round;
pub use uplink::{CARD, Uplink};

/// Where the ends of a call are, and how the caller reaches the relay.
#[derive(Clone, Copy)]
pub struct Place<'l> {
    pub uplink: &'l Uplink,
    pub callee: &'l NetNs,
    pub callee_ip: &'l str,
    /// Of the relay's certificate.
    pub trust: &'l Trust,
    /// A user of the relay.
    pub login: (&'l str, &'l str),
}

/// How often the state of a call is said where no table shows it.
const STATUS: Duration = Duration::from_secs(2);
const TICK: Duration = Duration::from_millis(10);

/// One call to its end; `None` if somebody else ended it. What happens is told on stderr.
pub fn once(place: Place<'_>, interrupt: &Interrupt) -> Result<Option<Outcome>> {
    let mut round = Round::start(place)?;
    let mut next = Instant::now() + STATUS;
    while !round.is_over() {
        if interrupt.asked() {
            return Ok(None);
        }
        round.tick()?;
        round.tell();
        if Instant::now() >= next {
            next += STATUS;
            eprintln!("call: {}", round.status());
        }
        std::thread::sleep(TICK);
    }
    Ok(Some(round.outcome()))
}
