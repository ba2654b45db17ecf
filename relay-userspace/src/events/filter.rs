//! Which events a listener wants, from the words of the command line, the admin socket and the configuration.

use super::event::Event;
use super::kind::{Change, Kind, What};

/// Nothing said: everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub of: Vec<Pattern>,
    /// Of this TURN user or forward.
    pub user: Option<String>,
}

/// `allocation`, `ended` or `allocation.ended`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pattern {
    what: Option<What>,
    change: Option<Change>,
}

impl Pattern {
    pub fn parse(text: &str) -> Option<Pattern> {
        if let Some((what, change)) = text.split_once('.') {
            let what = Some(What::of_word(what)?);
            let change = Some(Change::of_word(change)?);
            return Some(Pattern { what, change });
        }
        let (what, change) = (What::of_word(text), Change::of_word(text));
        (what.is_some() || change.is_some()).then_some(Pattern { what, change })
    }

    fn fits(self, what: What, change: Change) -> bool {
        self.what.is_none_or(|one| one == what) && self.change.is_none_or(|one| one == change)
    }
}

impl std::fmt::Display for Pattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = [self.what.map(What::word), self.change.map(Change::word)];
        let words: Vec<_> = words.into_iter().flatten().collect();
        f.write_str(&words.join("."))
    }
}

impl Filter {
    /// What the stream says of itself is for everybody.
    pub fn wants(&self, event: &Event) -> bool {
        let Kind::Of(what, change) = event.event else {
            return true;
        };
        let of = self.of.is_empty() || self.of.iter().any(|pattern| pattern.fits(what, change));
        let user = self
            .user
            .as_ref()
            .is_none_or(|user| [&event.user, &event.forward].contains(&&Some(user.clone())));
        of && user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_what_any_of_its_patterns_and_its_user_fit() {
        let event = |what, change, user: &str| Event {
            user: Some(user.to_owned()),
            ..Event::new(what, change)
        };
        let of = ["allocation", "ended", "channel.created"];
        let filter = Filter {
            of: of.iter().filter_map(|text| Pattern::parse(text)).collect(),
            user: Some("alice".to_owned()),
        };
        for (what, change, user, wanted) in [
            (What::Allocation, Change::Changed, "alice", true),
            (What::Permission, Change::Ended, "alice", true),
            (What::Channel, Change::Created, "alice", true),
            (What::Channel, Change::Changed, "alice", false),
            (What::Allocation, Change::Changed, "bob", false),
        ] {
            let event = event(what, change, user);
            assert_eq!(filter.wants(&event), wanted, "{} of {user}", event.event);
            assert!(Filter::default().wants(&event));
        }
        let texts: Vec<_> = filter.of.iter().map(ToString::to_string).collect();
        assert_eq!(texts, of);
        for bad in ["", "allocation.", ".ended", "alloc", "ended.allocation"] {
            assert_eq!(Pattern::parse(bad), None, "{bad}");
        }
    }
}
