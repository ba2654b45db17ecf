//! Cards that go while the program runs, and cards that come: attached by their names, whoever made them. Moves no
//! card from one rung to another.

use super::{Attachment, Card, Rung, attach_now};
use crate::api;
use crate::fastpath::next_hop::Cards;

impl Attachment {
    /// Looks at the interfaces anew. The attached cards, if they are others than before.
    pub fn refresh(&mut self) -> Option<Cards> {
        let mut news = false;
        for card in &mut self.cards {
            news |= card.is_another();
        }
        let taken = self.cards.iter().find_map(Card::rung);
        let (loaded, mode) = (&mut self.loaded, self.mode);
        for card in &mut self.cards {
            let (Some(ifindex), None) = (card.ifindex, &card.link) else {
                continue;
            };
            // Where others are attached, theirs: frames cross between cards of one mode.
            let rungs = [Rung::Native, Rung::Generic].into_iter();
            let mut rungs = rungs.filter(|rung| taken.map_or(rung.fits(mode), |one| one == *rung));
            let mut reasons = Vec::new();
            card.link = rungs.find_map(|rung| match attach_now(loaded, ifindex, rung) {
                Ok(link) => Some((rung, link)),
                Err(fault) => {
                    reasons.push(format!("{}: {fault}", rung.name()));
                    None
                }
            });
            match card.rung() {
                Some(rung) => {
                    tracing::warn!(card = card.name, mode = rung.name(), "attached again");
                    news = true;
                }
                None if reasons != card.reasons => {
                    tracing::warn!(
                        card = card.name,
                        reason = reasons.join("; "),
                        "not attached"
                    );
                }
                None => {}
            }
            card.reasons = reasons;
        }
        news.then(|| {
            let cards = self.number();
            self.pin();
            cards
        })
    }

    /// What to tell the operator.
    pub fn views(&self) -> Vec<api::Card> {
        self.cards.iter().map(Card::view).collect()
    }
}

impl Card {
    /// Whether its name stands for another interface than before, or for none: then the program left it with the old one.
    fn is_another(&mut self) -> bool {
        // `if_indextoname` of nix says yes to every index.
        let still_there = |ifindex| {
            let all = nix::net::if_::if_nameindex();
            all.is_ok_and(|all| all.iter().any(|one| one.index() == ifindex))
        };
        // One that was only renamed stays.
        if self.ifindex.is_some_and(still_there) {
            return false;
        }
        let now = Card::new(&self.name);
        let gone = self.ifindex.is_some();
        if gone {
            tracing::warn!(card = self.name, "the card is gone");
        }
        let news = now.ifindex != self.ifindex;
        *self = now;
        news
    }
}
