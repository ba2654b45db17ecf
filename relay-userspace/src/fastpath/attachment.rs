//! The program on its cards: which rung each one got, and why not a higher one.

use std::collections::HashMap;

use aya::programs::XdpMode as AyaMode;
use aya::programs::links::FdLink;

use super::loader::Loaded;
use crate::api;
use crate::config::XdpMode;

/// Cards the program is on. Dropping it detaches.
pub struct Attachment {
    pub loaded: Loaded,
    cards: Vec<Card>,
}

/// A rung of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    Native,
    Generic,
}

struct Card {
    name: String,
    /// `None`: there is no such interface.
    ifindex: Option<u32>,
    link: Option<(Rung, FdLink)>,
    /// Why not a higher rung.
    reasons: Vec<String>,
}

impl Attachment {
    /// Attaches to `names`. Returns the index in `CARDS` of each attached interface, and what to tell the operator.
    ///
    /// All cards share one rung: a frame cannot go from a native card to one whose driver has no XDP, and it would be
    /// rewritten, thus lost, by the time the kernel finds out.
    pub fn new(
        loaded: Loaded,
        names: &[String],
        mode: XdpMode,
    ) -> (Self, HashMap<u32, u32>, Vec<api::Card>) {
        let cards = names.iter().map(|name| Card::new(name)).collect();
        let mut attachment = Self { loaded, cards };
        match mode {
            XdpMode::Off => {}
            XdpMode::Native => attachment.climb(Rung::Native),
            XdpMode::Generic => attachment.climb(Rung::Generic),
            XdpMode::Auto => {
                attachment.climb(Rung::Native);
                attachment.climb(Rung::Generic);
                attachment.level();
            }
        }
        let numbers = attachment.number();
        let views = attachment.cards.iter().map(Card::view).collect();
        (attachment, numbers, views)
    }

    /// Tries `rung` on every card that has none yet.
    fn climb(&mut self, rung: Rung) {
        for card in self.cards.iter_mut().filter(|card| card.link.is_none()) {
            let Some(ifindex) = card.ifindex else {
                continue;
            };
            match self.loaded.attach(ifindex, rung.mode()) {
                Ok(link) => card.link = Some((rung, link)),
                Err(reason) => card.reasons.push(format!("{}: {reason}", rung.name())),
            }
        }
    }

    /// Takes every card to generic mode if one got no further.
    fn level(&mut self) {
        let Some(lowest) = self
            .cards
            .iter()
            .find(|card| card.rung() == Some(Rung::Generic))
        else {
            return;
        };
        let reason = format!(
            "native: {} has only generic mode, and frames cross between cards of one mode",
            lowest.name
        );
        for card in &mut self.cards {
            if card.rung() == Some(Rung::Native) {
                card.link = None;
                card.reasons.push(reason.clone());
            }
        }
        self.climb(Rung::Generic);
    }

    /// Enters the attached cards in `CARDS`.
    fn number(&mut self) -> HashMap<u32, u32> {
        let mut numbers = HashMap::new();
        for card in self.cards.iter_mut().filter(|card| card.link.is_some()) {
            let Some(ifindex) = card.ifindex else {
                continue;
            };
            let number = numbers.len() as u32;
            match self.loaded.set_card(number, ifindex) {
                Ok(()) => {
                    numbers.insert(ifindex, number);
                }
                Err(reason) => {
                    card.link = None;
                    card.reasons.push(reason);
                }
            }
        }
        numbers
    }
}

impl Card {
    fn new(name: &str) -> Self {
        let ifindex = nix::net::if_::if_nametoindex(name).ok();
        let reasons = match ifindex {
            Some(_) => Vec::new(),
            None => vec![format!(
                "there is no interface {name} here (`ip link` lists them)"
            )],
        };
        Self {
            name: name.to_owned(),
            ifindex,
            link: None,
            reasons,
        }
    }

    fn rung(&self) -> Option<Rung> {
        self.link.as_ref().map(|(rung, _)| *rung)
    }

    fn view(&self) -> api::Card {
        api::Card {
            name: self.name.clone(),
            mode: self.rung().map_or("none", Rung::name).to_owned(),
            reason: (!self.reasons.is_empty()).then(|| self.reasons.join("; ")),
        }
    }
}

impl Rung {
    fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }

    fn mode(self) -> AyaMode {
        match self {
            Self::Native => AyaMode::Driver,
            Self::Generic => AyaMode::Skb,
        }
    }
}
