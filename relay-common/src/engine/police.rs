//! Whether a packet is within the limits of whom it comes from and of whom it goes to. Never looks at the packet.

use super::Tables;
use crate::{DOWN, Leg, UP, meter_time};

/// Whether there is any limit to ask.
#[inline(always)]
pub fn is_metered(arrival: &Leg, departure: &Leg) -> bool {
    arrival.meters[0] | arrival.meters[1] | departure.meters[0] | departure.meters[1] != 0
}

/// What one limit refuses has spent of those before it: at most one sender's, by what that sender sent.
#[inline(always)]
pub fn admits(tables: &impl Tables, arrival: &Leg, departure: &Leg, now: u64, bytes: u32) -> bool {
    let now = meter_time(now);
    let pays =
        |meter: u32, direction: usize| meter == 0 || tables.pay(meter, direction, now, bytes);
    pays(arrival.meters[0], UP)
        && pays(arrival.meters[1], UP)
        && pays(departure.meters[0], DOWN)
        && pays(departure.meters[1], DOWN)
}
