//! `[[events.webhooks]]`: who is told what happens.

use super::fault::{At, Faults, Wrong};
use super::raw::Raw;
use super::reader::Section;
use super::value::{self, wrong};
use crate::events::Filter;
use crate::events::webhook::Webhook;
use crate::secret::Secret;

const BATCH: usize = 100;
const LARGEST_BATCH: usize = 1000;
/// Few, since each is told everything it asks for.
const MOST: usize = 16;

pub fn read(root: &mut Section<'_>, raw: &mut Raw, faults: &mut Faults) {
    let mut events = root.section("events", faults);
    raw.webhooks = events.sections("webhooks", faults).map(|all| {
        all.into_iter()
            .filter_map(|one| webhook(one, faults))
            .collect()
    });
    events.finish(faults);
}

fn webhook(mut one: Section<'_>, faults: &mut Faults) -> Option<At<Webhook>> {
    let place = one.place().clone();
    let url = one.text("url", faults, value::web_address);
    let secret = one.text("secret", faults, |text| match text.trim() {
        "" => wrong(
            "the secret is empty",
            "write the output of `openssl rand -hex 32`",
        ),
        _ => Ok(Secret::new(text.to_owned())),
    });
    let batch = one.number::<usize>("batch", faults);
    let of = one.texts("of", faults, value::event_pattern);
    one.needs("url", "write url = \"https://…\"", faults);
    one.finish(faults);
    if let Some(at) = batch
        .as_ref()
        .filter(|at| !(1..=LARGEST_BATCH).contains(&at.value))
    {
        let problem = format!("{} events are no batch", at.value);
        let remedy = format!("write 1 to {LARGEST_BATCH}, or leave the key out");
        faults.add(&at.place, Wrong::new(problem, remedy));
    }
    let of = of.unwrap_or_default().into_iter();
    Some(place.of(Webhook {
        url: url?.value,
        secret: secret.map(|at| at.value),
        batch: batch.map_or(BATCH, |at| at.value),
        filter: Filter {
            of: of.map(|at| at.value).collect(),
            user: None,
        },
    }))
}

pub fn rules(raw: &Raw, faults: &mut Faults) {
    let extra = raw.webhooks.iter().flatten().nth(MOST);
    if let Some(at) = extra {
        let problem = format!("more than {MOST} webhooks");
        faults.add(
            &at.place,
            Wrong::new(problem, "let one of them tell the others"),
        );
    }
}
