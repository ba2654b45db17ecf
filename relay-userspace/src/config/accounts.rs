//! `[auth]` beyond users and plain secrets: groups of shared secrets with limits of their own. Reads their files, too.

use std::collections::HashSet;
use std::path::PathBuf;

use super::fault::{At, Faults, Place, Wrong};
use super::file::path_of;
use super::raw::Raw;
use super::reader::Section;
use super::{load, rates, value};
use crate::police::Limit;
use crate::secret::Secret;

/// Shared secrets that are valid at the same time, for one customer or service: rotated within, limited as one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedSecrets {
    pub id: String,
    /// At least one; the first mints.
    pub secrets: Vec<Secret<String>>,
    /// Where more of them were read from.
    pub file: Option<PathBuf>,
    pub caps: Caps,
    /// Of all users of it together.
    pub limit: Limit,
}

/// How many of each there may be. `None`: any number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Caps {
    pub allocations: Option<usize>,
    pub channels: Option<usize>,
    pub permissions: Option<usize>,
}

impl Caps {
    /// What is not said here as `other` says it.
    pub fn or(self, other: Caps) -> Caps {
        Caps {
            allocations: self.allocations.or(other.allocations),
            channels: self.channels.or(other.channels),
            permissions: self.permissions.or(other.permissions),
        }
    }
}

/// What stands for secrets without a name.
pub const UNNAMED: &str = "default";

pub fn read(auth: &mut Section<'_>, raw: &mut Raw, faults: &mut Faults) {
    raw.strict_expiry = auth.boolean("strict_expiry", faults);
    raw.shared_secrets = auth.sections("shared", faults).map(|all| {
        all.into_iter()
            .filter_map(|one| shared(one, faults))
            .collect()
    });
}

fn shared(mut one: Section<'_>, faults: &mut Faults) -> Option<At<SharedSecrets>> {
    let place = one.place().clone();
    let id = one.text("id", faults, value::name);
    let secrets = one.texts("secrets", faults, |text| Ok(Secret::new(text.to_owned())));
    let file = one.text("file", faults, path_of);
    let caps = Caps {
        allocations: number(&mut one, "allocations", faults),
        channels: number(&mut one, "channels", faults),
        permissions: number(&mut one, "permissions", faults),
    };
    let bits = one.text("bits", faults, value::bit_rate);
    let packets = one.number("packets", faults);
    one.needs("id", "write id = \"…\", a name for these secrets", faults);
    one.finish(faults);
    let limit = rates::limit(bits, packets);
    Some(place.of(SharedSecrets {
        id: id?.value,
        secrets: secrets.into_iter().flatten().map(|at| at.value).collect(),
        file: file.map(|at| at.value),
        caps,
        limit,
    }))
}

fn number(one: &mut Section<'_>, key: &'static str, faults: &mut Faults) -> Option<usize> {
    let at: At<usize> = one.number(key, faults)?;
    if at.value == 0 {
        let wrong = Wrong::new(
            "0 would refuse everything",
            "write 1 or more, or leave the key out",
        );
        faults.add(&at.place, wrong);
    }
    Some(at.value)
}

/// Of the groups that no higher layer hides.
pub fn read_files(raw: &mut Raw, faults: &mut Faults) {
    for At { value, place } in raw.shared_secrets.iter_mut().flatten() {
        let Some(path) = &value.file else { continue };
        match load::text_of(path) {
            Ok(text) => value.secrets.extend(load::secrets_of(&text)),
            Err(wrong) => faults.add(place, wrong),
        }
    }
}

pub fn rules(raw: &Raw, faults: &mut Faults) {
    let mut seen: HashSet<&str> = HashSet::from([UNNAMED]);
    for At { value, place } in raw.shared_secrets.iter().flatten() {
        if !seen.insert(&value.id) {
            let problem = format!(
                "{} names other secrets already ({UNNAMED}: those of auth.secrets)",
                value.id
            );
            faults.add(place, Wrong::new(problem, "choose another id"));
        }
        secrets(value, place, faults);
        if value.limit.packets_per_second == Some(0) {
            let wrong = Wrong::new("0 packets would let nothing through", "write 1 or more");
            faults.add(place, wrong);
        }
    }
}

fn secrets(group: &SharedSecrets, place: &Place, faults: &mut Faults) {
    let empty = |secret: &Secret<String>| secret.expose().trim().is_empty();
    if group.secrets.is_empty() || group.secrets.iter().any(empty) {
        let problem = format!("{} has no secret, or an empty one", group.id);
        let remedy = "write secrets = [\"…\"], or file = \"…\" with one a line";
        faults.add(place, Wrong::new(problem, remedy));
    }
}
