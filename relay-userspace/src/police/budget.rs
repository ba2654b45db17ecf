//! What all users, and those of a group of secrets, may have together: given to them in rounds, ten a second, by setting
//! the rates of their own meters. So nobody is refused, packets need no third meter, and the kernel keeps it.
//!
//! How much a user had is read from the meter itself: it stands [`SLACK`] ahead of the clock, so that `due` grows by
//! what every packet costs and by nothing else (`docs/decisions/0013-accounts.md`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::level::{Demand, level};
use super::limit::Limit;
use super::metered::{Metered, Round};
use super::registry::Police;
use super::{DOWN, UP};

pub const ROUND: Duration = Duration::from_millis(100);
/// Longer than a round that comes late.
pub(super) const SLACK: Duration = Duration::from_millis(300);

/// The most a user may have now, because of others.
#[derive(Debug, Default)]
pub(super) struct Levels {
    pub total: Limit,
    pub groups: HashMap<Arc<str>, Limit>,
}

/// One user in a round.
pub(super) struct Member {
    pub metered: Arc<Metered>,
    /// Its own limit.
    pub own: Limit,
    pub group: Option<Arc<str>>,
}

impl Police {
    /// Never ends. Does nothing while there is nothing to share out.
    pub async fn share_out(self) {
        let mut rounds = tokio::time::interval(ROUND);
        rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            rounds.tick().await;
            self.round(Instant::now());
        }
    }

    pub(super) fn round(&self, now: Instant) {
        let Some((members, total, groups)) = self.members() else {
            return;
        };
        let seen: Vec<_> = members
            .iter()
            .map(|member| member.metered.round(now, SLACK))
            .collect();
        let all: Vec<_> = members.iter().zip(&seen).collect();
        let levels = [UP, DOWN].map(|direction| Levels::of(direction, &all, total, &groups));
        for (member, round) in all {
            member.metered.give(given(member, round, &levels));
        }
        let [up, down] = levels;
        self.keep(up.least_of(&down));
    }
}

/// A meter has one rate for both directions: that of the direction in which more could be wanted, the scarcer one of two.
fn given(member: &Member, round: &Round, levels: &[Levels; 2]) -> Limit {
    let may = |direction: usize| {
        let levels = &levels[direction];
        levels.least(member.own, member.group.as_ref(), levels.total)
    };
    let matters = |direction: usize| round.is_near(direction, may(direction));
    match (matters(UP), matters(DOWN)) {
        (true, false) => may(UP),
        (false, true) => may(DOWN),
        _ => may(UP).least(may(DOWN)),
    }
}

impl Levels {
    fn of(
        direction: usize,
        all: &[(&Member, &Round)],
        total: Limit,
        groups: &[(Arc<str>, Limit)],
    ) -> Self {
        let mut levels = Levels::default();
        for (name, limit) in groups {
            let of_group = |(member, _): &&(&Member, &Round)| member.group.as_ref() == Some(name);
            let members: Vec<_> = all.iter().filter(of_group).copied().collect();
            let level = share(direction, *limit, &members, |member| member.own);
            levels.groups.insert(Arc::clone(name), level);
        }
        let own = |member: &Member| levels.least(member.own, member.group.as_ref(), Limit::NONE);
        levels.total = share(direction, total, all, own);
        levels
    }

    fn least_of(mut self, other: &Levels) -> Self {
        self.total = self.total.least(other.total);
        for (name, level) in &mut self.groups {
            *level = level.least(other.groups.get(name).copied().unwrap_or(Limit::NONE));
        }
        self
    }

    /// The strictest of what holds for a user.
    pub fn least(&self, own: Limit, group: Option<&Arc<str>>, total: Limit) -> Limit {
        let group = group.and_then(|group| self.groups.get(group));
        own.least(group.copied().unwrap_or(Limit::NONE))
            .least(total)
    }
}

/// What each member may have of `limit` in one direction.
fn share(
    direction: usize,
    limit: Limit,
    members: &[(&Member, &Round)],
    own: impl Fn(&Member) -> Limit,
) -> Limit {
    let of = |total: Option<u64>, part: fn(Limit) -> Option<u64>| {
        let demand = |(member, round): &(&Member, &Round)| Demand {
            used: round.used(direction, part(round.given)),
            hungry: round.hungry[direction],
            cap: part(own(member)).map_or(f64::INFINITY, |cap| cap as f64),
        };
        let demands: Vec<_> = members.iter().map(demand).collect();
        Some(level(total? as f64, &demands).max(1.0) as u64)
    };
    Limit {
        bits_per_second: of(limit.bits_per_second, |limit| limit.bits_per_second),
        packets_per_second: of(limit.packets_per_second, |limit| limit.packets_per_second),
    }
}

#[cfg(test)]
mod tests;
