//! Kinds of events as texts.

use super::{Read, wrong};
use crate::events::{Change, Pattern, What};

/// Which events: `allocation`, `ended`, `channel.created`.
pub fn event_pattern(text: &str) -> Read<Pattern> {
    let pattern = Pattern::parse(text);
    pattern.map_or_else(
        || {
            let whats: Vec<_> = What::ALL.iter().map(|what| what.word()).collect();
            let changes: Vec<_> = Change::ALL.iter().map(|change| change.word()).collect();
            wrong(
                format!("{text:?} is no kind of events"),
                format!(
                    "write one of {}, or one of {}, or both with a dot between",
                    whats.join(", "),
                    changes.join(", ")
                ),
            )
        },
        Ok,
    )
}
