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

    /// What leaves at once. A stream's answer always does: the journal keeps no stream, and bytes of a peer follow the
    /// answer to a ConnectionBind, which must not come in the midst of them.
    fn add(&mut self, commit: Option<Commit>, due: Instant, answers: Vec<Answer>) -> Vec<Answer> {
        let before = self.answers.back().map(|waiting| waiting.commit);
        let Some(commit) = commit.max(before) else {
            return answers;
        };
        let (at_once, waiting): (Vec<_>, Vec<_>) = answers
            .into_iter()
            .partition(|answer| answer.to.transport.is_stream());
        self.answers
            .extend(waiting.into_iter().map(|answer| Waiting {
                commit,
                due,
                answer,
            }));
        at_once
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
        for answer in self.held.add(commit, due, answers) {
            self.clients.answer(context, answer.to, &answer.bytes);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::turn::Transport;

    fn answer(transport: Transport) -> Answer {
        Answer {
            to: FiveTuple {
                client: ([192, 0, 2, 1], 1000).into(),
                server: ([192, 0, 2, 9], 3478).into(),
                transport,
            },
            bytes: Vec::new(),
        }
    }

    #[test]
    fn answers_wait_for_a_commit_and_behind_those_that_do_but_never_on_a_stream() {
        let (mut held, due) = (Held::default(), Instant::now());
        let mut left = |commit: Option<u64>| {
            let all = [Transport::Udp, Transport::Tcp, Transport::Tls].map(answer);
            let commit = commit.map(Commit::numbered);
            let at_once = held.add(commit, due, all.into());
            let ways = at_once.into_iter().map(|answer| answer.to.transport);
            ways.collect::<Vec<_>>()
        };
        let streams = [Transport::Tcp, Transport::Tls];
        assert_eq!(left(None).len(), 3);
        assert_eq!(left(Some(2)), streams);
        assert_eq!(left(None), streams);
        let commits: Vec<_> = held.answers.iter().map(|one| one.commit).collect();
        assert_eq!(commits, [Commit::numbered(2); 2]);
    }
}
