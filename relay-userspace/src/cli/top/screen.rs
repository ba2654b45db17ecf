//! The terminal while `relay top` has it: raw, on its alternate screen, and given back whatever happens. Draws nothing itself.

use std::io;
use std::time::Duration;

use ratatui::crossterm::event::{self, Event};
use ratatui::{DefaultTerminal, Frame};
use tokio::sync::mpsc;

/// How long the reading thread outlives the screen at most.
const LOOK_UP: Duration = Duration::from_millis(100);

/// Gives the terminal back when dropped; a panic gives it back before it is told.
pub struct Screen {
    terminal: DefaultTerminal,
    events: mpsc::Receiver<Event>,
}

impl Screen {
    pub fn take() -> io::Result<Self> {
        // Also sets a panic hook that restores the terminal.
        let terminal = ratatui::try_init()?;
        let (sender, events) = mpsc::channel(16);
        // Reading a terminal blocks; so it has a thread, that ends when nobody listens any more.
        std::thread::spawn(move || {
            while !sender.is_closed() {
                let event = match event::poll(LOOK_UP) {
                    Ok(true) => event::read(),
                    Ok(false) => continue,
                    Err(error) => Err(error),
                };
                let heard = event.is_ok_and(|event| sender.blocking_send(event).is_ok());
                if !heard {
                    return;
                }
            }
        });
        Ok(Self { terminal, events })
    }

    pub fn draw(&mut self, draw: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(draw).map(drop)
    }

    /// `None`: the terminal is gone.
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.recv().await
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}
