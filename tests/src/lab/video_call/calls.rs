//! One call after the other, for as long as somebody watches.

use anyhow::Result;

use super::{Outcome, Place, Round};

pub struct Calls<'l> {
    place: Place<'l>,
    round: Round<'l>,
    number: u32,
    /// Of the last call that is over.
    last: Option<Outcome>,
}

impl<'l> Calls<'l> {
    pub fn start(place: Place<'l>) -> Result<Self> {
        Ok(Self {
            place,
            round: Round::start(place)?,
            number: 1,
            last: None,
        })
    }

    /// To be called every few milliseconds.
    pub fn tick(&mut self) -> Result<()> {
        // Only now: the end of the former one has been told.
        if self.round.is_over() {
            self.round = Round::start(self.place)?;
            self.number += 1;
        }
        self.round.tick()?;
        if self.round.is_over() {
            self.last = Some(self.round.outcome());
        }
        Ok(())
    }

    /// Says on stderr what is new.
    pub fn tell(&mut self) {
        self.round.tell();
    }

    /// The state of the call first, then what has happened in it and what became of the last one.
    pub fn rows(&self) -> Vec<String> {
        let mut rows = vec![format!("  call {}: {}", self.number, self.round.status())];
        rows.extend(self.round.news().iter().map(|line| format!("    {line}")));
        if let Some(last) = self.last.filter(|_| !self.round.is_over()) {
            rows.push(format!("  call {}: {}", self.number - 1, last.text()));
        }
        rows
    }

    pub fn last(&self) -> Option<Outcome> {
        self.last
    }
}
