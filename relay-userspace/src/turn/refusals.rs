//! The last peers refused, for the operator to see. Fixed size; the oldest goes first.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::identity::Now;
use super::view::RefusalView;
use crate::policy::Refusal;

const KEPT: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Refusals {
    last: VecDeque<RefusalView>,
}

impl Refusals {
    pub fn push(&mut self, now: Now, client: SocketAddr, user: &str, refusal: &Refusal) {
        if self.last.len() == KEPT {
            self.last.pop_front();
        }
        self.last.push_back(RefusalView {
            unix: now.unix,
            user: user.to_owned(),
            client,
            peer: refusal.peer,
            reason: refusal.to_string(),
        });
    }

    pub fn iter(&self) -> impl Iterator<Item = &RefusalView> + '_ {
        self.last.iter()
    }
}
