//! What an earlier process pinned is taken over whole, or removed with the reason said. Never in part.

use super::pins::{Kept, Pins};
use crate::config;

/// What an earlier process pinned, if it can be taken over whole; otherwise it is removed.
pub fn tables(pins: &Pins, kernel: &config::Kernel) -> Option<Kept> {
    match pins.kept() {
        Ok(Some(kept)) => {
            let (kept_room, asked) = (kept.sessions, kernel.max_sessions);
            if kept_room != asked {
                tracing::warn!(
                    kept_room,
                    asked,
                    "the kernel tables keep their size until `relay serve --fresh`"
                );
            }
            return Some(kept);
        }
        Ok(None) => {}
        Err(reason) => tracing::warn!(
            reason,
            "the kernel tables of the last process cannot be adopted: its kernel sessions end, new tables are made"
        ),
    }
    clear(pins);
    None
}

/// Removes it.
pub fn clear(pins: &Pins) {
    if let Err(fault) = pins.clear() {
        tracing::error!(%fault, "pins stay behind");
    }
}
