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
    links: Vec<FdLink>,
}

/// A rung of the ladder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rung {
    Native,
    Generic,
}

/// What became of one card.
struct Outcome {
    link: Option<FdLink>,
    /// Rungs that failed, with their reasons.
    failed: Vec<String>,
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
        let mut attachment = Self {
            loaded,
            links: Vec::new(),
        };
        let rungs: &[Rung] = match mode {
            XdpMode::Auto => &[Rung::Native, Rung::Generic],
            XdpMode::Native => &[Rung::Native],
            XdpMode::Generic => &[Rung::Generic],
            XdpMode::Off => &[],
        };
        let indices: Vec<Option<u32>> = names.iter().map(|name| index_of(name)).collect();
        let mut failed: Vec<Vec<String>> = vec![Vec::new(); names.len()];
        for (i, rung) in rungs.iter().enumerate() {
            let last = i + 1 == rungs.len();
            let tried: Vec<Outcome> = indices
                .iter()
                .map(|index| attachment.attempt(*index, *rung))
                .collect();
            if !last
                && let Some(culprit) = tried
                    .iter()
                    .position(|o| o.link.is_none() && !o.failed.is_empty())
            {
                for (card, outcome) in tried.into_iter().enumerate() {
                    failed[card].extend(outcome.failed);
                    if outcome.link.is_some() {
                        let name = &names[culprit];
                        failed[card].push(format!(
                            "native: {name} cannot, and frames move between cards only in one mode"
                        ));
                    }
                }
                continue;
            }
            let mut cards = HashMap::new();
            let mut views = Vec::new();
            for (card, mut outcome) in tried.into_iter().enumerate() {
                failed[card].append(&mut outcome.failed);
                let number = cards.len() as u32;
                if let (Some(link), Some(ifindex)) = (outcome.link, indices[card]) {
                    match attachment.loaded.set_card(number, ifindex) {
                        Ok(()) => {
                            attachment.links.push(link);
                            cards.insert(ifindex, number);
                            views.push(view(&names[card], Some(*rung), &failed[card]));
                            continue;
                        }
                        Err(e) => failed[card].push(e),
                    }
                }
                views.push(view(&names[card], None, &failed[card]));
            }
            return (attachment, cards, views);
        }
        let views = names
            .iter()
            .zip(&failed)
            .map(|(name, failed)| view(name, None, failed))
            .collect();
        (attachment, HashMap::new(), views)
    }

    fn attempt(&mut self, ifindex: Option<u32>, rung: Rung) -> Outcome {
        let Some(ifindex) = ifindex else {
            return Outcome {
                link: None,
                failed: Vec::new(),
            };
        };
        let (mode, name) = match rung {
            Rung::Native => (AyaMode::Driver, "native"),
            Rung::Generic => (AyaMode::Skb, "generic"),
        };
        match self.loaded.attach(ifindex, mode) {
            Ok(link) => Outcome {
                link: Some(link),
                failed: Vec::new(),
            },
            Err(reason) => Outcome {
                link: None,
                failed: vec![format!("{name}: {reason}")],
            },
        }
    }
}

fn index_of(name: &str) -> Option<u32> {
    nix::net::if_::if_nametoindex(name).ok()
}

fn view(name: &str, rung: Option<Rung>, failed: &[String]) -> api::Card {
    let missing = rung.is_none() && failed.is_empty();
    let mode = match rung {
        Some(Rung::Native) => "native",
        Some(Rung::Generic) => "generic",
        None => "none",
    };
    let reason = if missing {
        Some(format!(
            "there is no interface {name} here (`ip link` lists them)"
        ))
    } else {
        (!failed.is_empty()).then(|| failed.join("; "))
    };
    api::Card {
        name: name.to_owned(),
        mode: mode.to_owned(),
        reason,
    }
}
