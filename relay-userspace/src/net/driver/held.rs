//! Answers that wait until the journal has what they say: a client that was told of a change finds it after a kill, too.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::Driver;
use crate::journal::Commit;
use crate::net::stats::Stat;
use crate::net::worker::Context;
use crate::turn::FiveTuple;

/// A client asks again after half a second; a disk that takes longer for a commit is not waited for.
const PATIENCE: Duration = Duration::from_millis(400);

pub struct Answer {
    pub to: FiveTuple,
    pub bytes: Vec<u8>,
}

/// In the order of their commits.
#[derive(Default)]
pub struct Held {
    answers: VecDeque<Waiting>,
}

struct Waiting {
    commit: Commit,
    due: Instant,
    answer: Answer,
}

impl Held {
    /// When the first of them leaves in any case.
    pub fn due(&self) -> Option<Instant> {
        self.answers.front().map(|waiting| waiting.due)
    }

    fn take_if(&mut self, ready: impl FnOnce(&Waiting) -> bool) -> Option<Answer> {
        let waiting = self.answers.pop_front_if(|waiting| ready(waiting))?;
        Some(waiting.answer)
    }
}

impl Driver {
    /// Sends answers, or has them wait for `commit`, and behind all that wait already: an answer to a repetition says
    /// what the first one says.
    pub(super) fn answer(
        &mut self,
        context: &mut Context<'_>,
        commit: Option<Commit>,
        answers: Vec<Answer>,
    ) {
        let due = context.now.mono + PATIENCE;
        let before = self.held.answers.back().map(|waiting| waiting.commit);
        let commit = commit.max(before);
        for answer in answers {
            match commit {
                None => self.clients.answer(context, answer.to, &answer.bytes),
                Some(commit) => self.held.answers.push_back(Waiting {
                    commit,
                    due,
                    answer,
                }),
            }
        }
    }

    /// Lets go what waited for `commit` and those before it.
    pub fn committed(&mut self, context: &mut Context<'_>, commit: Commit) {
        while let Some(answer) = self.held.take_if(|waiting| waiting.commit <= commit) {
            self.clients.answer(context, answer.to, &answer.bytes);
        }
    }

    /// Lets go what has waited too long.
    pub(super) fn release_late(&mut self, context: &mut Context<'_>) {
        let (now, mut late) = (context.now.mono, 0);
        while let Some(answer) = self.held.take_if(|waiting| waiting.due <= now) {
            late += 1;
            self.clients.answer(context, answer.to, &answer.bytes);
        }
        if late > 0 {
            context.stats.add(Stat::AnsweredBeforeCommit, late);
            tracing::warn!(
                late,
                "answers left before the journal had what they say: its disk takes over 0.4 s"
            );
        }
    }
}
