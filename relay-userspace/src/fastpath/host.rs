//! What the background thread asks of the attached program. Holds nothing but a way to it.

use std::sync::{Mutex, PoisonError, Weak};

use super::attachment::Attachment;
use super::clock::Clock;
use super::next_hop::Cards;

/// Asked by the background thread.
pub trait Host: Send + 'static {
    /// The clock, read anew.
    fn clock(&mut self) -> Option<Clock>;
    /// The attached cards, if they are others than before.
    fn cards(&mut self) -> Option<Cards>;
}

impl Host for Weak<Mutex<Option<Attachment>>> {
    fn clock(&mut self) -> Option<Clock> {
        let sample = with(self, |attachment| attachment.loaded.sample().ok())?;
        Clock::from_sample(sample).ok()
    }

    fn cards(&mut self) -> Option<Cards> {
        with(self, Attachment::refresh)
    }
}

/// `None` once the kernel path is closed.
fn with<T>(
    attachment: &Weak<Mutex<Option<Attachment>>>,
    ask: impl FnOnce(&mut Attachment) -> Option<T>,
) -> Option<T> {
    let attachment = attachment.upgrade()?;
    let mut attachment = attachment.lock().unwrap_or_else(PoisonError::into_inner);
    ask(attachment.as_mut()?)
}
