//! Numbered datagrams through a connector, both ways at a steady pace, and which of them arrived. Judges nothing.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use nix::poll::{PollFd, PollFlags, ppoll};
use serde_json::Value;

use super::Rough;
use crate::lab::ledger::Stream;
use crate::relay::Follower;

/// How often, and how long each is.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    pub period: Duration,
    pub bytes: usize,
}

pub struct Media {
    application: UdpSocket,
    port: SocketAddr,
    peer: UdpSocket,
    pace: Pace,
    due: Instant,
    /// The next number.
    pub next: u32,
    /// Those before it found the way.
    pub first: u32,
    /// Where the peer saw them come from, one after the other.
    pub relayed: Vec<SocketAddr>,
    pub to_peer: Arrived,
    pub to_application: Arrived,
}

#[derive(Debug, Default)]
pub struct Arrived {
    stream: Stream,
    /// Of all that arrived, the most that had been sent since it was.
    pub behind: u32,
}

impl Arrived {
    fn take(&mut self, datagram: &[u8], next: u32) {
        if let Some(number) = datagram.first_chunk() {
            let number = u32::from_be_bytes(*number);
            self.behind = self.behind.max(next - number);
            self.stream.arrived(number.into(), datagram.len());
        }
    }

    /// Of those from `first` on.
    pub fn count_from(&self, first: u32) -> usize {
        self.stream.received_from(first.into()) as usize
    }

    fn doubled(&self) -> u32 {
        self.stream.duplicated as u32
    }
}

impl Media {
    /// From beside the connector, whose port is `port`, to `peer`; begins when something has arrived there.
    pub fn start(rough: &Rough, peer: UdpSocket, port: SocketAddr, pace: Pace) -> Result<Self> {
        let application = rough.application();
        for socket in [&application, &peer] {
            socket.set_nonblocking(true)?;
        }
        let mut media = Self {
            application,
            port,
            peer,
            pace,
            due: Instant::now(),
            next: 0,
            first: 0,
            relayed: Vec::new(),
            to_peer: Arrived::default(),
            to_application: Arrived::default(),
        };
        media.run_while(Duration::from_secs(10), |media| {
            Ok(media.relayed.is_empty())
        })?;
        media.first = media.next;
        Ok(media)
    }

    pub fn run_for(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        self.run_while(time + Duration::from_secs(10), |_| Ok(Instant::now() < end))
    }

    /// Sends on while `wanted` says so; an error after `limit`.
    pub fn run_while(
        &mut self,
        limit: Duration,
        mut wanted: impl FnMut(&Self) -> Result<bool>,
    ) -> Result<()> {
        let start = Instant::now();
        while wanted(self)? {
            ensure!(start.elapsed() < limit, "not within {limit:?}");
            let now = Instant::now();
            if self.due <= now {
                // What the machine was too busy for is left out.
                self.due = (self.due + self.pace.period).max(now);
                self.send()?;
            }
            self.receive(self.due)?;
        }
        Ok(())
    }

    /// Until `connector` says `event`.
    pub fn run_until(&mut self, connector: &Follower, event: &str) -> Result<Value> {
        self.run_until_line(connector, |line| line["event"] == event)
    }

    /// Until it says what is `wanted`.
    pub fn run_until_line(
        &mut self,
        connector: &Follower,
        wanted: impl Fn(&Value) -> bool,
    ) -> Result<Value> {
        let mut found = None;
        self.run_while(Duration::from_secs(60), |_| {
            while let (None, Some(line)) = (&found, connector.poll::<Value>()?) {
                println!("{line}");
                found = wanted(&line).then_some(line);
            }
            Ok(found.is_none())
        })?;
        Ok(found.unwrap_or_default())
    }

    /// Waits for what is under way: until something sent after it has arrived at both ends.
    pub fn settle(&mut self) -> Result<()> {
        let last = self.next;
        self.run_while(Duration::from_secs(10), |media| {
            let ways = [&media.to_peer, &media.to_application];
            Ok(ways.iter().any(|way| way.count_from(last) == 0))
        })?;
        let (last, patience) = (self.next - 1, Instant::now() + Duration::from_secs(1));
        while self.to_peer.count_from(last) + self.to_application.count_from(last) < 2 {
            if Instant::now() > patience {
                break;
            }
            self.receive(Instant::now() + self.pace.period)?;
        }
        Ok(())
    }

    /// Until nothing of half a second is missing: a busy machine may need more than one.
    pub fn run_until_whole(&mut self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(20);
        loop {
            let first = self.next;
            self.run_for(Duration::from_millis(500))?;
            self.settle()?;
            if self.missing(first, self.next) == [0, 0] {
                return Ok(());
            }
            ensure!(Instant::now() < end, "something is missing all the time");
        }
    }

    /// Of those from `first` on and before `end`: towards the peer, and back.
    pub fn missing(&self, first: u32, end: u32) -> [usize; 2] {
        let sent = (end - first) as usize;
        [&self.to_peer, &self.to_application]
            .map(|to| sent - to.stream.received_of(first.into()..end.into()) as usize)
    }

    /// All sent from `first` on has arrived, none of it twice, by one relayed address.
    pub fn assert_whole(&self, first: u32) {
        assert_eq!(self.missing(first, self.next), [0, 0]);
        assert_eq!(self.doubled(), [0, 0]);
        assert_eq!(self.relayed.len(), 1, "{:?}", self.relayed);
    }

    pub fn doubled(&self) -> [u32; 2] {
        [&self.to_peer, &self.to_application].map(Arrived::doubled)
    }

    fn send(&mut self) -> Result<()> {
        let mut datagram = vec![0; self.pace.bytes.max(4)];
        datagram[..4].copy_from_slice(&self.next.to_be_bytes());
        self.next += 1;
        self.application.send_to(&datagram, self.port)?;
        if let Some(relayed) = self.relayed.last() {
            self.peer.send_to(&datagram, relayed)?;
        }
        Ok(())
    }

    /// What comes until `due`.
    fn receive(&mut self, due: Instant) -> Result<()> {
        let left = due.saturating_duration_since(Instant::now());
        let mut sockets = [&self.peer, &self.application]
            .map(|socket| PollFd::new(socket.as_fd(), PollFlags::POLLIN));
        ppoll(&mut sockets, Some(left.into()), None)?;
        let mut buffer = [0; 2048];
        while let Ok((length, from)) = self.peer.recv_from(&mut buffer) {
            if self.relayed.last() != Some(&from) {
                self.relayed.push(from);
            }
            self.to_peer.take(&buffer[..length], self.next);
        }
        while let Ok((length, _)) = self.application.recv_from(&mut buffer) {
            self.to_application.take(&buffer[..length], self.next);
        }
        Ok(())
    }
}
