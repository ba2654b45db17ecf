//! The configured limits of the shield as the kernel meters them. Decides nothing.

use std::ops::RangeInclusive;

use relay_common::{ShieldRate, ShieldRates};

use crate::config::Shield;

/// A site that was quiet may begin with a second's worth.
const PREFIX_BURST_MS: u64 = 1000;
/// What userspace is handed at once fits a listener's socket buffer, of 4 MiB, with room to spare.
const TOTAL_BURST_MS: u64 = 50;

/// At `hz` jiffies a second, for a relay whose relayed addresses have these ports. All zero where the shield is off.
pub fn rates(shield: &Shield, ports: &RangeInclusive<u16>, hz: u64) -> ShieldRates {
    if !shield.enabled {
        return ShieldRates::default();
    }
    let prefix = |per_second| ShieldRate::new(per_second, hz, PREFIX_BURST_MS);
    let total = |per_second| ShieldRate::new(per_second, hz, TOTAL_BURST_MS);
    ShieldRates {
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
