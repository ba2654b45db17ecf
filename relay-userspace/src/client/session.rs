//! An allocation on real sockets, on the leg the mode says. One task owns all of it; applications hold a [`Session`].
//!
//! ```no_run
//! use relay_userspace::client::session::{Happening, Options, Session};
//! # async fn example(options: Options) {
//! let peer = "203.0.113.5:5004".parse().unwrap();
//! let (session, mut happenings) = Session::start(options);
//! session.open(peer).await;
//! while let Some(happening) = happenings.recv().await {
//!     match happening {
//!         Happening::Bound { peer } => session.send(peer, b"hello".to_vec()),
//!         Happening::Data { peer, data } => println!("{peer}: {} bytes", data.len()),
//!         other => println!("{other:?}"),
//!     }
//! }
//! # }
//! ```

mod driver;
mod legs;
mod lengths;
mod network;
mod outbox;
mod servers;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::sync::mpsc;

use super::request::{Login, Refused};
use super::secure::SecureServer;
use super::turn::Traffic;
use crate::mode::{Mode, Notice, Policy, Refusal};
use driver::Driver;

/// Messages between an application and its session.
const QUEUE: usize = 1024;

#[derive(Debug, Clone)]
pub struct Options {
    pub mode: Mode,
    pub policy: Policy,
    pub login: Login,
    pub udp: SocketAddr,
    pub secure: SecureServer,
    /// The family of the relayed address, which is that of the peers.
    pub relayed_v4: bool,
}

#[derive(Debug)]
pub enum Happening {
    Notice {
        notice: Notice,
        /// Datagrams sent after the last proof of a leg that had gone silent: at most so many are missing.
        lost: u64,
    },
    Relayed(SocketAddr),
    /// What is sent to this peer goes out from now on.
    Bound {
        peer: SocketAddr,
    },
    Unbound {
        peer: SocketAddr,
        refused: Refused,
    },
    Data {
        peer: SocketAddr,
        data: Vec<u8>,
    },
    /// The last one.
    Ended(Refusal),
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Stats {
    pub traffic: Traffic,
    /// Not sent: no leg, no channel, or a connection too slow for them.
    pub dropped: u64,
}

/// Clones are the same session, which ends with the last one.
#[derive(Debug, Clone)]
pub struct Session {
    commands: mpsc::Sender<Command>,
}

#[derive(Debug)]
enum Command {
    Open(SocketAddr),
    Send(SocketAddr, Vec<u8>),
    Stats(tokio::sync::oneshot::Sender<Stats>),
    End,
}

impl Session {
    /// Begins to connect. The receiver must be read: a session whose application does not listen waits for it.
    pub fn start(options: Options) -> (Self, mpsc::Receiver<Happening>) {
        let (commands, orders) = mpsc::channel(QUEUE);
        let (told, happenings) = mpsc::channel(QUEUE);
        tokio::spawn(Driver::new(options, told).run(orders));
        (Self { commands }, happenings)
    }

    /// Asks for a channel to `peer`.
    pub async fn open(&self, peer: SocketAddr) {
        // A session that has ended has said so.
        let _ = self.commands.send(Command::Open(peer)).await;
    }

    /// Lost where there is no room or no channel, as datagrams are.
    pub fn send(&self, peer: SocketAddr, data: Vec<u8>) {
        let _ = self.commands.try_send(Command::Send(peer, data));
    }

    /// `None`: it has ended.
    pub async fn stats(&self) -> Option<Stats> {
        let (told, stats) = tokio::sync::oneshot::channel();
        self.commands.send(Command::Stats(told)).await.ok()?;
        stats.await.ok()
    }

    /// Gives the allocation back and waits until that was sent, a second at most.
    pub async fn end(self) {
        let _ = self.commands.send(Command::End).await;
        let _ = tokio::time::timeout(Duration::from_secs(1), self.commands.closed()).await;
    }
}
