//! Whether a packet is within the limits of whom it comes from and of whom it goes to. Never looks at the packet.

use crate::{DOWN, Leg, UP};

/// Whether there is any limit to ask.
#[inline(always)]
pub fn is_metered(arrival: &Leg, departure: &Leg) -> bool {
    arrival.meters[0] | arrival.meters[1] | departure.meters[0] | departure.meters[1] != 0
}

/// Asks all of them: `pays(meter, direction, shared)`. What one refuses has been paid to those before it, at most its
/// sender's, who did send it. Only a user's are shared: by sessions whose packets other CPUs carry.
#[inline(always)]
pub fn admits(
    arrival: [u32; 2],
    departure: [u32; 2],
    pays: impl Fn(u32, usize, bool) -> bool,
) -> bool {
    (arrival[0] == 0 || pays(arrival[0], UP, false))
        && (arrival[1] == 0 || pays(arrival[1], UP, true))
        && (departure[0] == 0 || pays(departure[0], DOWN, false))
        && (departure[1] == 0 || pays(departure[1], DOWN, true))
}
