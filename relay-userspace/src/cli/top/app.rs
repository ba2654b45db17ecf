//! What `relay top` shows and what its keys do: order, filter, selection, rates of the totals. No terminal, no clock.

use std::cmp::Ordering;
use std::time::Instant;

use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

use crate::api::{Session, StatusReport, Traffic};
use crate::tally::{Tally, TrafficRate};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Order {
    #[default]
    Rate,
    Packets,
    Bytes,
    Age,
    User,
}

/// What follows a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    Stay,
    Quit,
}

#[derive(Default)]
pub struct App {
    pub status: Option<StatusReport>,
    /// Why the last question was not answered; what is shown is older.
    pub fault: Option<String>,
    pub order: Order,
    /// Smallest, youngest or first of the alphabet last.
    pub reversed: bool,
    pub filter: String,
    /// Keys go into the filter.
    pub typing: bool,
    /// Row of the selected session.
    pub selected: usize,
    /// Rows that are shown; set when drawn.
    pub page: usize,
    sessions: Vec<Session>,
    kernel: Tally,
    userspace: Tally,
    now: Option<Instant>,
}

impl App {
    pub fn answered(&mut self, now: Instant, status: StatusReport, sessions: Vec<Session>) {
        self.kernel.observe(now, status.status.kernel);
        self.userspace.observe(now, status.status.userspace);
        self.now = Some(now);
        self.status = Some(status);
        self.sessions = sessions;
        self.fault = None;
    }

    pub fn not_answered(&mut self, fault: String) {
        self.fault = Some(fault);
    }

    /// Of the kernel and of userspace, all sessions together.
    pub fn rates(&self) -> [TrafficRate; 2] {
        let read = |tally: &Tally| {
            self.now
                .map_or_else(TrafficRate::default, |now| tally.read(now).rate)
        };
        [read(&self.kernel), read(&self.userspace)]
    }

    pub fn handle(&mut self, event: &Event) -> Then {
        match event {
            Event::Key(key) if key.kind != KeyEventKind::Release => self.key(key),
            _ => Then::Stay,
        }
    }

    fn key(&mut self, key: &KeyEvent) -> Then {
        if key.modifiers.contains(KeyModifiers::CONTROL) {
            return match key.code {
                KeyCode::Char('c') => Then::Quit,
                _ => Then::Stay,
            };
        }
        match key.code {
            KeyCode::Enter => self.typing = false,
            KeyCode::Esc => {
                self.typing = false;
                self.filter.clear();
            }
            KeyCode::Backspace if self.typing => drop(self.filter.pop()),
            KeyCode::Char(c) if self.typing => {
                self.filter.push(c);
                self.selected = 0;
            }
            KeyCode::Char('q') => return Then::Quit,
            KeyCode::Char('/') => self.typing = true,
            KeyCode::Char('r') => self.order_by(Order::Rate),
            KeyCode::Char('p') => self.order_by(Order::Packets),
            KeyCode::Char('b') => self.order_by(Order::Bytes),
            KeyCode::Char('a') => self.order_by(Order::Age),
            KeyCode::Char('u') => self.order_by(Order::User),
            KeyCode::Up | KeyCode::Char('k') => self.selected = self.selected.saturating_sub(1),
            KeyCode::Down | KeyCode::Char('j') => self.selected += 1,
            KeyCode::PageUp => self.selected = self.selected.saturating_sub(self.page),
            KeyCode::PageDown => self.selected += self.page,
            KeyCode::Home => self.selected = 0,
            KeyCode::End => self.selected = usize::MAX,
            _ => {}
        }
        // Never beyond the last row, so that one key up is one row up.
        self.selected = self.selected.min(self.rows().len().saturating_sub(1));
        Then::Stay
    }

    /// The same again turns it round.
    fn order_by(&mut self, order: Order) {
        self.reversed = order == self.order && !self.reversed;
        self.order = order;
        self.selected = 0;
    }

    /// Those that pass the filter, in order.
    pub fn rows(&self) -> Vec<&Session> {
        let wanted = self.filter.to_lowercase();
        let mut rows: Vec<_> = self
            .sessions
            .iter()
            .filter(|s| passes(s, &wanted))
            .collect();
        rows.sort_by(|a, b| {
            let order = compare(self.order, a, b);
            if self.reversed {
                order.reverse()
            } else {
                order
            }
            .then(a.id.cmp(&b.id))
        });
        rows
    }
}

/// Largest first; names from A.
fn compare(order: Order, a: &Session, b: &Session) -> Ordering {
    match order {
        Order::Rate => rate(b).total_cmp(&rate(a)),
        Order::Packets => total(b).packets.cmp(&total(a).packets),
        Order::Bytes => total(b).bytes.cmp(&total(a).bytes),
        Order::Age => b.age_seconds.cmp(&a.age_seconds),
        Order::User => a.owner.cmp(&b.owner),
    }
}

/// Any column that is shown.
fn passes(s: &Session, wanted: &str) -> bool {
    let has = |text: String| text.to_lowercase().contains(wanted);
    wanted.is_empty()
        || has(s.owner.clone())
        || has(s.client.to_string())
        || s.peer.is_some_and(|peer| has(peer.to_string()))
        || has(s.runs_in.clone())
        || s.reason.clone().or(s.note.clone()).is_some_and(has)
}

/// Bits a second, both directions.
pub fn rate(s: &Session) -> f64 {
    s.to_peer.bits_per_second + s.to_client.bits_per_second
}

pub fn packets_a_second(s: &Session) -> f64 {
    s.to_peer.packets_per_second + s.to_client.packets_per_second
}

/// Both directions, kernel and userspace.
pub fn total(s: &Session) -> Traffic {
    let parts = [
        s.kernel_to_peer,
        s.kernel_to_client,
        s.userspace_to_peer,
        s.userspace_to_client,
    ];
    Traffic {
        packets: parts.iter().map(|part| part.packets).sum(),
        bytes: parts.iter().map(|part| part.bytes).sum(),
    }
}
