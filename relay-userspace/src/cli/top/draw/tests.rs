//! The picture on a terminal that is not there: what is on it, in which order, and that it fits.

use std::time::{Duration, Instant};

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{Event, KeyCode, KeyEvent, KeyModifiers};

use super::super::app::Then;
use super::*;
use crate::api::{Pace, Status, StatusReport};

fn session(id: u64, owner: &str, rate: f64) -> Session {
    Session {
        id,
        owner: owner.to_owned(),
        peer: Some("198.51.100.7:5004".parse().unwrap()),
        runs_in: "kernel".to_owned(),
        age_seconds: 100 * id,
        kernel_to_peer: Traffic {
            packets: 1000 - id,
            bytes: 5000 * id,
        },
        to_peer: Pace {
            bits_per_second: rate,
            packets_per_second: rate / 1000.0,
            ..Pace::default()
        },
        ..Session::blank(format!("192.0.2.{id}:40000").parse().unwrap())
    }
}

fn report(packets: u64) -> StatusReport {
    let traffic = |packets| Traffic {
        packets,
        bytes: 100 * packets,
    };
    let status = Status {
        advertised: Vec::new(),
        version: "1.2.3".to_owned(),
        pid: 7,
        uptime_seconds: 3700,
        listen: Vec::new(),
        listen_tcp: Vec::new(),
        listen_tls: Vec::new(),
        not_listening: Vec::new(),
        relay_addresses: Vec::new(),
        cards: Vec::new(),
        kernel_off: None,
        shield: Default::default(),
        draining: None,
        workers: 2,
        allocations: 3,
        forwards: 0,
        sessions: 3,
        kernel_sessions: 2,
        kernel_capacity: 64,
        kernel: traffic(packets),
        userspace: traffic(packets / 10),
    };
    StatusReport {
        status,
        admin_socket: String::new(),
        metrics: None,
        warnings: Vec::new(),
    }
}

fn app() -> App {
    let mut app = App::default();
    let start = Instant::now();
    let mut slow = session(3, "carol", 30_000.0);
    slow.runs_in = "userspace".to_owned();
    slow.reason = Some("the neighbour 192.0.2.254 on eth0 is not resolved".to_owned());
    let sessions = vec![
        session(1, "alice", 10_000.0),
        session(2, "bob", 2_000_000.0),
        slow,
    ];
    app.answered(start, report(0), sessions.clone());
    app.answered(start + Duration::from_secs(1), report(1000), sessions);
    app
}

fn press(app: &mut App, keys: &str) -> Then {
    let mut then = Then::Stay;
    for key in keys.chars() {
        let code = match key {
            '\n' => KeyCode::Enter,
            '\u{1b}' => KeyCode::Esc,
            '↓' => KeyCode::Down,
            key => KeyCode::Char(key),
        };
        then = app.handle(&Event::Key(KeyEvent::new(code, KeyModifiers::NONE)));
    }
    then
}

fn picture(app: &mut App, width: u16, height: u16) -> Vec<String> {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, app)).unwrap();
    let buffer = terminal.backend().buffer();
    let line = |y| {
        (0..width)
            .map(|x| buffer[(x, y)].symbol())
            .collect::<String>()
            .trim_end()
            .to_owned()
    };
    (0..height).map(line).collect()
}

/// The users from top to bottom.
fn users(app: &mut App) -> Vec<String> {
    let rows = &picture(app, 80, 24)[5..21];
    let first = |row: &String| row.split_whitespace().next().map(str::to_owned);
    rows.iter().filter_map(first).collect()
}

#[test]
fn eighty_by_twenty_four_holds_it_all() {
    let lines = picture(&mut app(), 80, 24);
    assert_eq!(
        lines[0],
        "relay 1.2.3  up 1h01m  3 sessions, 2 in the kernel  3 allocations"
    );
    assert_eq!(
        lines[1],
        "kernel      800.0 kbit/s       1000 packets/s   1000 packets, 100.0 kB"
    );
    assert_eq!(
        lines[2],
        "userspace    80.0 kbit/s        100 packets/s   100 packets, 10.0 kB"
    );
    assert!(lines[3].starts_with("table      2 of 64"), "{lines:#?}");
    assert_eq!(
        lines[4].split_whitespace().collect::<Vec<_>>(),
        ["USER", "CLIENT", "PEER", "IN", "RATE▼", "PKT/S"]
    );
    let cells: Vec<_> = lines[5].split_whitespace().collect();
    assert_eq!(
        cells,
        [
            "bob",
            "192.0.2.2:40000",
            "198.51.100.7:5004",
            "kernel",
            "2.0",
            "Mbit/s",
            "2000"
        ]
    );
    assert_eq!(lines[21], "session 2 (turn, bob) kernel");
    assert!(lines[23].starts_with("q quit  / filter"), "{lines:#?}");
}

#[test]
fn sessions_are_ordered_by_the_key_and_turned_by_the_same_again() {
    let mut app = app();
    assert_eq!(users(&mut app), ["bob", "carol", "alice"]);
    press(&mut app, "p");
    assert_eq!(users(&mut app), ["alice", "bob", "carol"]);
    press(&mut app, "b");
    assert_eq!(users(&mut app), ["carol", "bob", "alice"]);
    press(&mut app, "b");
    assert_eq!(users(&mut app), ["alice", "bob", "carol"]);
    press(&mut app, "a");
    assert_eq!(users(&mut app), ["carol", "bob", "alice"]);
    press(&mut app, "u");
    assert_eq!(users(&mut app), ["alice", "bob", "carol"]);
}

#[test]
fn a_filter_is_typed_kept_and_cleared_and_q_belongs_to_it_meanwhile() {
    let mut app = app();
    assert_eq!(press(&mut app, "/q"), Then::Stay);
    assert_eq!(users(&mut app), [""; 0]);
    press(&mut app, "\u{1b}/CAR\n");
    assert_eq!(users(&mut app), ["carol"]);
    assert!(picture(&mut app, 80, 24)[23].starts_with("filter \"CAR\""));
    press(&mut app, "\u{1b}/resolved\n");
    assert_eq!(users(&mut app), ["carol"]);
    press(&mut app, "\u{1b}");
    assert_eq!(users(&mut app).len(), 3);
    assert_eq!(press(&mut app, "q"), Then::Quit);
}

#[test]
fn the_selected_session_says_why_it_is_not_in_the_kernel() {
    let mut app = app();
    press(&mut app, "↓↓↓↓");
    assert_eq!(app.selected, 2);
    press(&mut app, "k");
    let lines = picture(&mut app, 80, 24);
    assert_eq!(
        lines[21],
        "session 3 (turn, carol) userspace: the neighbour 192.0.2.254 on eth0 is not"
    );
    assert_eq!(lines[22], "resolved");
}

#[test]
fn a_relay_that_stops_answering_is_told_and_nothing_breaks_when_it_is_tiny_or_wide() {
    let mut app = app();
    app.not_answered("no relay answers".to_owned());
    assert_eq!(picture(&mut app, 80, 24)[0], "no answer: no relay answers");
    for (width, height) in [(1, 1), (10, 3), (200, 60)] {
        picture(&mut app, width, height);
    }
    let wide = picture(&mut app, 160, 40);
    assert!(
        wide[4].contains("PACKETS") && wide[4].contains("AGE"),
        "{wide:#?}"
    );
}
