//! The live table: redrawn each second on a terminal, one line a second elsewhere. On stderr.

use std::time::Instant;

use relay_userspace::api::{Session, Status, Traffic};

use super::canvas::Canvas;
use super::histogram::Histogram;

/// What the receivers know.
pub struct Receivers {
    pub received: u64,
    pub gaps: u64,
    pub delay: Histogram,
}

/// Turns the relay's growing counts into rates, and draws them.
pub struct Table {
    started: Instant,
    /// What the rates are counted from.
    last: (Instant, Traffic, Traffic),
    canvas: Canvas,
}

impl Table {
    /// A table whose first rates count from `status` on.
    pub fn new(status: &Status) -> Self {
        let now = Instant::now();
        Self {
            started: now,
            last: (now, status.kernel, status.userspace),
            canvas: Canvas::stderr(),
        }
    }

    /// Whether it stands on a terminal, where nobody else may write between two drawings; else it is lines that follow lines.
    pub fn is_drawn(&self) -> bool {
        self.canvas.is_terminal()
    }

    /// With `more` rows below it; elsewhere than on a terminal with the first of them.
    pub fn draw(
        &mut self,
        status: &Status,
        sessions: &[Session],
        receivers: &Receivers,
        more: &[String],
    ) {
        let (then, kernel, userspace) = self.last;
        let seconds = then.elapsed().as_secs_f64().max(0.001);
        let kernel = rate(status.kernel, kernel, seconds);
        let userspace = rate(status.userspace, userspace, seconds);
        self.last = (Instant::now(), status.kernel, status.userspace);
        match self.canvas.is_terminal() {
            true => {
                let mut rows = self.rows(status, sessions, receivers, &kernel, &userspace);
                rows.extend_from_slice(more);
                self.canvas.redraw(&rows);
            }
            false => self.line(status, receivers, more, [&kernel, &userspace]),
        }
    }

    fn line(
        &self,
        status: &Status,
        receivers: &Receivers,
        more: &[String],
        [kernel, userspace]: [&str; 2],
    ) {
        eprintln!(
            "{:4} s  sessions {} ({} in the kernel)  kernel {kernel}  userspace {userspace}  {}",
            self.started.elapsed().as_secs(),
            status.sessions,
            status.kernel_sessions,
            quality(receivers)
        );
        if let Some(first) = more.first() {
            eprintln!("{first}");
        }
    }

    fn rows(
        &self,
        status: &Status,
        sessions: &[Session],
        receivers: &Receivers,
        kernel: &str,
        userspace: &str,
    ) -> Vec<String> {
        let mut rows = vec![
            format!(
                "  running {} s, {} sessions, {} in the kernel",
                self.started.elapsed().as_secs(),
                status.sessions,
                status.kernel_sessions
            ),
            format!("  kernel     {kernel}   {} packets", status.kernel.packets),
            format!(
                "  userspace  {userspace}   {} packets",
                status.userspace.packets
            ),
            format!("  receivers  {}", quality(receivers)),
            format!(
                "  {:<8} {:<10} {:<24} {:<24} {:<10} {:>10} {:>10}",
                "kind", "owner", "client", "peer", "runs in", "to peer", "to client"
            ),
        ];
        rows.extend(sessions.iter().map(row));
        rows
    }
}

fn row(session: &Session) -> String {
    let peer = session.peer.map_or("-".to_owned(), |peer| peer.to_string());
    let to_peer = session.kernel_to_peer.packets + session.userspace_to_peer.packets;
    let to_client = session.kernel_to_client.packets + session.userspace_to_client.packets;
    let client = session.client.to_string();
    let why = session.reason.as_deref().unwrap_or_default();
    let Session {
        kind,
        owner,
        runs_in,
        ..
    } = session;
    format!(
        "  {kind:<8} {owner:<10} {client:<24} {peer:<24} {runs_in:<10} {to_peer:>10} {to_client:>10} {why}"
    )
}

fn rate(now: Traffic, before: Traffic, seconds: f64) -> String {
    let packets = now.packets.saturating_sub(before.packets) as f64 / seconds;
    let bits = now.bytes.saturating_sub(before.bytes) as f64 * 8.0 / seconds;
    format!("{packets:7.0} packets/s {:8.3} Mbit/s", bits / 1e6)
}

fn quality(receivers: &Receivers) -> String {
    let Receivers {
        received,
        gaps,
        delay,
    } = receivers;
    let (p50, p99) = (delay.microseconds(0.5), delay.microseconds(0.99));
    format!("received {received}, missing {gaps}, one-way delay p50 {p50} µs, p99 {p99} µs")
}
