//! The program on its cards: which rung each one got, and why not a higher one. A card that has it from an earlier
//! process keeps its link and gets the new program through it.

mod again;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use aya::programs::XdpMode as AyaMode;
use aya::programs::links::FdLink;
use relay_common::MAX_CARDS;

use super::loader::{AttachFault, Loaded};
use super::next_hop::Cards;
use super::pins::Pins;
use crate::api;
use crate::config::XdpMode;

/// Cards the program is on. Dropping it detaches, unless it is pinned.
pub struct Attachment {
    pub loaded: Loaded,
    pins: Option<Pins>,
    mode: XdpMode,
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
    /// Attaches to `names`. Returns the attached cards, and what to tell the operator.
    ///
    /// All cards share one rung: a frame cannot go from a native card to one whose driver has no XDP, and it would be
    /// rewritten, thus lost, by the time the kernel finds out.
    pub fn new(
        loaded: Loaded,
        pins: Option<Pins>,
        names: &[String],
        mode: XdpMode,
    ) -> (Self, Cards, Vec<api::Card>) {
        let cards = names.iter().map(|name| Card::new(name)).collect();
        let mut attachment = Self {
            loaded,
            pins,
            mode,
            cards,
        };
        attachment.take_over(mode);
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
        let attached = attachment.number();
        attachment.pin();
        let views = attachment.views();
        (attachment, attached, views)
    }

    /// Removes every pin: with this process the program leaves the cards.
    pub fn unpin(&self) {
        let cleared = self.pins.as_ref().map_or(Ok(()), Pins::clear);
        if let Err(fault) = cleared {
            tracing::error!(%fault, "pins stay behind: `relay detach` removes them");
        }
    }

    /// Puts the new program in the place of an earlier process's, card by card.
    fn take_over(&mut self, mode: XdpMode) {
        let Some(pins) = &self.pins else { return };
        for card in &mut self.cards {
            let Some(ifindex) = card.ifindex else {
                continue;
            };
            let wanted = [Rung::Native, Rung::Generic].into_iter();
            for rung in wanted.filter(|rung| rung.fits(mode)) {
                let Some(link) = pins.link(ifindex, rung.name()) else {
                    continue;
                };
                // Refused when the card went and came again: then it is attached anew.
                match self.loaded.replace(link) {
                    Ok(link) => card.link = Some((rung, link)),
                    Err(reason) => tracing::debug!(card = card.name, reason, "a dead link"),
                }
            }
        }
        self.drop_other_links();
    }

    /// Forgets links of an earlier process that are not in use.
    fn drop_other_links(&self) {
        let Some(pins) = &self.pins else { return };
        let held: Vec<_> = self.cards.iter().filter_map(Card::held).collect();
        pins.keep_only_links(&held);
    }

    /// Makes the links outlive this process.
    fn pin(&mut self) {
        self.drop_other_links();
        let Some(pins) = &self.pins else { return };
        for card in &mut self.cards {
            let (Some(ifindex), Some((rung, link))) = (card.ifindex, card.link.take()) else {
                continue;
            };
            match pins.keep_link(link, ifindex, rung.name()) {
                Ok(link) => card.link = Some((rung, link)),
                Err(reason) => {
                    tracing::error!(card = card.name, reason, "the link cannot be pinned");
                    card.reasons.push(format!("pin the link: {reason}"));
                }
            }
        }
    }

    /// Tries `rung` on every card that has none yet.
    fn climb(&mut self, rung: Rung) {
        for card in self.cards.iter_mut().filter(|card| card.link.is_none()) {
            let Some(ifindex) = card.ifindex else {
                continue;
            };
            let attached = attach_soon(&mut self.loaded, ifindex, rung, self.pins.is_some());
            match attached {
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
        self.drop_other_links();
        self.climb(Rung::Generic);
    }

    /// Enters the attached cards in `CARDS`. A card keeps the index next hops of an earlier process name it by.
    fn number(&mut self) -> Cards {
        let mut numbers = HashMap::new();
        let known = self.loaded.cards();
        let free = (0..MAX_CARDS).filter(|index| known.iter().all(|(known, _)| known != index));
        // Where all have been used, those of cards that are gone.
        let mut free = free.chain(0..MAX_CARDS);
        for card in self.cards.iter_mut().filter(|card| card.link.is_some()) {
            let Some(ifindex) = card.ifindex else {
                continue;
            };
            let before = known.iter().find(|(_, of)| *of == ifindex);
            let number = before.map(|(index, _)| *index).or_else(|| free.next());
            let Some(number) = number else { continue };
            let set = match before {
                Some(_) => Ok(()),
                None => self.loaded.set_card(number, ifindex),
            };
            match set {
                Ok(()) => {
                    numbers.insert(ifindex, number);
                }
                Err(reason) => {
                    card.link = None;
                    card.reasons.push(reason);
                }
            }
        }
        // Of one mode, all of them.
        let native = self
            .cards
            .iter()
            .any(|card| card.rung() == Some(Rung::Native));
        Cards { numbers, native }
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

    /// The link as it is pinned.
    fn held(&self) -> Option<(u32, &'static str)> {
        Some((self.ifindex?, self.rung()?.name()))
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

    fn fits(self, mode: XdpMode) -> bool {
        match mode {
            XdpMode::Off => false,
            XdpMode::Auto => true,
            XdpMode::Native => self == Self::Native,
            XdpMode::Generic => self == Self::Generic,
        }
    }

    fn mode(self) -> AyaMode {
        match self {
            Self::Native => AyaMode::Driver,
            Self::Generic => AyaMode::Skb,
        }
    }
}

/// Longest time the kernel takes to free a card whose pinned link was removed.
const FREED: Duration = Duration::from_secs(1);

fn attach_now(loaded: &mut Loaded, ifindex: u32, rung: Rung) -> Result<FdLink, AttachFault> {
    loaded.attach(ifindex, rung.mode())
}

/// Attaches; where a pin may just have been removed, as soon as the card is free.
fn attach_soon(
    loaded: &mut Loaded,
    ifindex: u32,
    rung: Rung,
    patient: bool,
) -> Result<FdLink, String> {
    let end = Instant::now() + FREED;
    loop {
        let attached = attach_now(loaded, ifindex, rung);
        match attached {
            Err(AttachFault::Busy) if patient && Instant::now() < end => {
                std::thread::sleep(Duration::from_millis(20));
            }
            attached => return attached.map_err(|fault| fault.to_string()),
        }
    }
}
