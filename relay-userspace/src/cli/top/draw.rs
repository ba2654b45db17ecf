//! The picture of `relay top`: totals, table fill, sessions, the selected one's reason, keys. Decides nothing.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{LineGauge, Paragraph, Row, Table, TableState, Wrap};

use super::app::{App, Order, packets_a_second, rate, total};
use crate::api::{Session, Traffic};
use crate::cli::output::{bits, bytes};
use crate::tally::TrafficRate;

const WARNING: Style = Style::new().fg(Color::Yellow);
const HEAD: Style = Style::new().add_modifier(Modifier::BOLD);
/// From here on there is room for every column.
const WIDE: u16 = 120;

pub fn draw(frame: &mut Frame<'_>, app: &mut App) {
    let areas = [
        Constraint::Length(4),
        Constraint::Min(2),
        Constraint::Length(2),
        Constraint::Length(1),
    ];
    let [totals, table, why, keys] = Layout::vertical(areas).areas(frame.area());
    draw_totals(frame, totals, app);
    app.page = usize::from(table.height.saturating_sub(1));
    let rows = app.rows();
    draw_sessions(frame, table, app, &rows);
    draw_why(frame, why, rows.get(app.selected).copied());
    draw_keys(frame, keys, app);
}

fn draw_totals(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let Some(report) = &app.status else {
        return;
    };
    let status = &report.status;
    let [first, kernel, userspace, fill] = Layout::vertical([Constraint::Length(1); 4]).areas(area);
    let mut line = vec![
        Span::styled(format!("relay {}", status.version), HEAD),
        Span::raw(format!(
            "  up {}  {} sessions, {} in the kernel  {} allocations",
            age(status.uptime_seconds),
            status.sessions,
            status.kernel_sessions,
            status.allocations
        )),
    ];
    if let Some(fault) = &app.fault {
        line = vec![Span::styled(format!("no answer: {fault}"), WARNING)];
    }
    frame.render_widget(Line::from(line), first);
    let [in_kernel, in_userspace] = app.rates();
    frame.render_widget(moved("kernel", in_kernel, status.kernel), kernel);
    frame.render_widget(
        moved("userspace", in_userspace, status.userspace),
        userspace,
    );
    match &status.kernel_off {
        Some(why) => frame.render_widget(Line::styled(format!("kernel off: {why}"), WARNING), fill),
        None => {
            let (used, room) = (status.kernel_sessions, status.kernel_capacity.max(1));
            let share = (used as f64 / room as f64).min(1.0);
            let gauge = LineGauge::default()
                .ratio(share)
                .label(format!("table      {used} of {room}"))
                .filled_style(if share > 0.9 {
                    WARNING
                } else {
                    Style::new().green()
                });
            frame.render_widget(gauge, fill);
        }
    }
}

fn moved(name: &str, rate: TrafficRate, total: Traffic) -> Line<'static> {
    Line::raw(format!(
        "{name:<10} {:>13} {:>10.0} packets/s   {} packets, {}",
        bits(rate.bits_per_second),
        rate.packets_per_second,
        total.packets,
        bytes(total.bytes)
    ))
}

fn draw_sessions(frame: &mut Frame<'_>, area: Rect, app: &App, rows: &[&Session]) {
    let wide = area.width >= WIDE;
    // Where there is no room for all, the last column is what it is ordered by.
    let last: &[Order] = match (wide, app.order) {
        (true, _) => &[Order::Rate, Order::Packets, Order::Bytes, Order::Age],
        (false, Order::User) => &[Order::Rate],
        (false, Order::Rate) => &[Order::Rate],
        (false, Order::Packets) => &[Order::Packets],
        (false, Order::Bytes) => &[Order::Bytes],
        (false, Order::Age) => &[Order::Age],
    };
    let mut head = vec!["USER", "CLIENT", "PEER", "IN", "RATE"];
    head.extend(last.iter().map(|order| title(*order)));
    let marked = head
        .iter()
        .map(|title| mark(title, app))
        .collect::<Vec<_>>();
    let shown = rows.iter().map(|s| {
        let mut cells = vec![
            s.owner.clone(),
            s.client.to_string(),
            s.peer.map_or("-".to_owned(), |peer| peer.to_string()),
            place(s),
            bits(rate(s)),
        ];
        cells.extend(last.iter().map(|order| value(*order, s)));
        let style = match s.note.is_some() || s.runs_in != "kernel" {
            true => WARNING,
            false => Style::new(),
        };
        Row::new(cells).style(style)
    });
    let mut widths = vec![
        Constraint::Max(if wide { 24 } else { 9 }),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(6),
        Constraint::Length(12),
    ];
    widths.extend(last.iter().map(|_| Constraint::Length(9)));
    let table = Table::new(shown, widths)
        .header(Row::new(marked).style(HEAD.reversed()))
        .row_highlight_style(Style::new().reversed());
    let mut state =
        TableState::new().with_selected(Some(app.selected.min(rows.len().saturating_sub(1))));
    frame.render_stateful_widget(table, area, &mut state);
}

/// `kernel`, `user`, or the share that is not in the kernel.
fn place(s: &Session) -> String {
    match (&s.note, s.runs_in.as_str()) {
        (Some(_), _) => format!("{}% us", s.userspace_percent),
        (None, "kernel") => "kernel".to_owned(),
        (None, _) => "user".to_owned(),
    }
}

fn title(order: Order) -> &'static str {
    match order {
        Order::Rate | Order::User => "PKT/S",
        Order::Packets => "PACKETS",
        Order::Bytes => "BYTES",
        Order::Age => "AGE",
    }
}

fn value(order: Order, s: &Session) -> String {
    match order {
        Order::Rate | Order::User => format!("{:.0}", packets_a_second(s)),
        Order::Packets => total(s).packets.to_string(),
        Order::Bytes => bytes(total(s).bytes),
        Order::Age => age(s.age_seconds),
    }
}

fn mark(title: &str, app: &App) -> String {
    let by = match app.order {
        Order::Rate => "RATE",
        Order::Packets => "PACKETS",
        Order::Bytes => "BYTES",
        Order::Age => "AGE",
        Order::User => "USER",
    };
    match (title == by, app.reversed) {
        (false, _) => title.to_owned(),
        (true, false) => format!("{title}▼"),
        (true, true) => format!("{title}▲"),
    }
}

fn draw_why(frame: &mut Frame<'_>, area: Rect, selected: Option<&Session>) {
    let Some(s) = selected else {
        return frame.render_widget(Line::raw("no session"), area);
    };
    let why = s.note.as_ref().or(s.reason.as_ref());
    let why = why.map_or(s.runs_in.clone(), |why| format!("{}: {why}", s.runs_in));
    let text = format!("session {} ({}, {}) {why}", s.id, s.kind, s.owner);
    frame.render_widget(Paragraph::new(text).wrap(Wrap { trim: true }), area);
}

fn draw_keys(frame: &mut Frame<'_>, area: Rect, app: &App) {
    let line = match (app.typing, app.filter.is_empty()) {
        (true, _) => format!("/{}_  Enter keeps, Esc clears", app.filter),
        (false, true) => {
            "q quit  / filter  by: r rate  p packets  b bytes  a age  u user (again: turn)"
                .to_owned()
        }
        (false, false) => format!("filter {:?}  Esc clears  q quit", app.filter),
    };
    frame.render_widget(Line::styled(line, Style::new().dim()), area);
}

/// `59s`, `5m10s`, `3h05m`, `4d2h`.
fn age(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m{:02}s", seconds % 60),
        3600..86_400 => format!("{hours}h{:02}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests;
