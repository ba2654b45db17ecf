//! The configured limits of the shield as the kernel meters them. Decides nothing.

use std::ops::RangeInclusive;

use relay_common::{Pace, Paces};

use crate::config::Shield;

/// A site that was quiet may begin with a second's worth.
const PREFIX_BURST_MS: u64 = 1000;
/// What userspace is handed at once fits a listener's socket buffer, of 4 MiB, with room to spare.
const TOTAL_BURST_MS: u64 = 50;

/// At `hz` jiffies a second, for a relay whose relayed addresses have these ports. All zero where the shield is off.
pub fn paces(shield: &Shield, ports: &RangeInclusive<u16>, hz: u64) -> Paces {
    if !shield.enabled {
        return Paces::default();
    }
    let prefix = |per_second| Pace::new(per_second, hz, PREFIX_BURST_MS);
    let total = |per_second| Pace::new(per_second, hz, TOTAL_BURST_MS);
    Paces {
        strangers: [
            prefix(shield.strangers_per_prefix),
            total(shield.strangers_per_cpu),
        ],
        junk: [prefix(shield.junk_per_prefix), total(shield.junk_per_cpu)],
        address: prefix(shield.client_address),
        known: total(shield.session),
        closed: total(shield.closed_ports_per_cpu),
        range: [(*ports.start()).into(), (*ports.end()).into()],
    }
}
