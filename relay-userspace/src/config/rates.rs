//! `[rates]`: what sessions and users may send and receive in a second.

use std::collections::HashMap;
use std::time::Duration;

use super::fault::{At, Faults, Wrong};
use super::raw::Raw;
use super::reader::Section;
use super::value;
use crate::police::{Limit, Limits};

/// A user's own limit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRate {
    pub name: String,
    pub limit: Limit,
}

/// Two per cent of a second, and a little less: what a limit may be exceeded by in its first second.
const BURST: Duration = Duration::from_millis(15);
const LONGEST_BURST: Duration = Duration::from_secs(1);

/// No limits.
pub fn default() -> Limits {
    Limits {
        burst: BURST,
        ..Limits::default()
    }
}

pub fn read(root: &mut Section<'_>, raw: &mut Raw, faults: &mut Faults) {
    let mut rates = root.section("rates", faults);
    raw.session_bits = rates.text("session_bits", faults, value::bit_rate);
    raw.session_packets = rates.number("session_packets", faults);
    raw.user_bits = rates.text("user_bits", faults, value::bit_rate);
    raw.user_packets = rates.number("user_packets", faults);
    raw.total_bits = rates.text("total_bits", faults, value::bit_rate);
    raw.total_packets = rates.number("total_packets", faults);
    raw.burst = rates.text("burst", faults, value::duration);
    raw.user_rates = rates.sections("users", faults).map(|all| {
        all.into_iter()
            .filter_map(|one| user(one, faults))
            .collect()
    });
    rates.finish(faults);
}

fn user(mut one: Section<'_>, faults: &mut Faults) -> Option<At<UserRate>> {
    let place = one.place().clone();
    let name = one.text("name", faults, |text| Ok(text.to_owned()));
    let bits = one.text("bits", faults, value::bit_rate);
    let packets = one.number("packets", faults);
    one.needs("name", "write name = \"…\"", faults);
    one.finish(faults);
    let limit = limit(bits, packets);
    let name = name?.value;
    Some(place.of(UserRate { name, limit }))
}

/// The rules, and what was said over the defaults.
pub fn set(limits: &mut Limits, raw: &Raw, faults: &mut Faults) {
    let counts = [&raw.session_packets, &raw.user_packets, &raw.total_packets];
    for at in counts.into_iter().flatten().filter(|at| at.value == 0) {
        let wrong = Wrong::new(
            "0 would let nothing through",
            "write 1 or more, or leave the key out for no limit",
        );
        faults.add(&at.place, wrong);
    }
    if let Some(at) = raw.burst.as_ref().filter(|at| at.value > LONGEST_BURST) {
        let wrong = Wrong::new("is more than a second", "write 1s or less, usually 15ms");
        faults.add(&at.place, wrong);
    }
    limits.session = limit(raw.session_bits.clone(), raw.session_packets.clone());
    limits.user = limit(raw.user_bits.clone(), raw.user_packets.clone());
    limits.total = limit(raw.total_bits.clone(), raw.total_packets.clone());
    limits.burst = raw.burst.as_ref().map_or(BURST, |at| at.value);
    let mut users = HashMap::new();
    for at in raw.user_rates.iter().flatten() {
        let UserRate { name, limit } = &at.value;
        if limit.packets_per_second == Some(0) {
            let wrong = Wrong::new("0 packets would let nothing through", "write 1 or more");
            faults.add(&at.place, wrong);
        }
        if users.insert(name.clone(), *limit).is_some() {
            let problem = format!("user {name} is there twice");
            faults.add(&at.place, Wrong::new(problem, "remove one"));
        }
    }
    limits.users = users;
    let groups = raw.shared_secrets.iter().flatten().map(|at| &at.value);
    limits.groups = groups
        .map(|group| (group.id.clone(), group.limit))
        .filter(|(_, limit)| *limit != Limit::NONE)
        .collect();
}

pub(super) fn limit(bits: Option<At<u64>>, packets: Option<At<u64>>) -> Limit {
    Limit {
        bits_per_second: bits.map(|at| at.value),
        packets_per_second: packets.map(|at| at.value),
    }
}
