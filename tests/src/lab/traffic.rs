//! The media of the main job: a video through a forward, calls through TURN, and what their receivers have.

use std::time::Duration;

use anyhow::{Result, bail};

use super::call::{Call, Ends, Media};
use super::histogram::Histogram;
use super::ledger::Ledger;
use super::summary::Summary;
use super::table::Receivers;
use super::video;
use crate::eventually::within;
use crate::relay::Relay;
use crate::topology::{CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, SERVER_V4, SERVER_V6, Topology};

const TURN_PORT: u16 = 3478;
const VIDEO_PORT: u16 = 5004;

/// Calls: like audio and like video over IPv4, and one over IPv6.
const AUDIO: Media = Media {
    packets_per_second: 50,
    bytes: 160,
};
const PICTURE: Media = Media {
    packets_per_second: 200,
    bytes: 1100,
};
const SIXTH: Media = Media {
    packets_per_second: 100,
    bytes: 400,
};

/// Everything that is sent, and its receivers.
pub struct Traffic {
    sender: video::Sender,
    receiver: video::Receiver,
    calls: Vec<Call>,
}

impl Traffic {
    pub fn start(topology: &Topology, relay: &Relay, login: (&str, &str)) -> Result<Self> {
        let receiver = video::Receiver::start(&topology.server, SERVER_V4)?;
        let (listen, to) = (format!("udp/{VIDEO_PORT}"), receiver.address.to_string());
        relay.cli(&[
            "forward", "add", "--name", "video", "--listen", &listen, "--to", &to,
        ])?;
        let calls = [(AUDIO, false), (PICTURE, false), (SIXTH, true)];
        let calls = calls.map(|(media, six)| Call::start(ends(topology, six)?, login, media));
        let sender = video::Sender::start(
            &topology.client,
            (EDGE_V4.parse::<std::net::Ipv4Addr>()?, VIDEO_PORT).into(),
            &video::LARGE,
        )?;
        Ok(Self {
            sender,
            receiver,
            calls: calls.into_iter().collect::<Result<_>>()?,
        })
    }

    /// Waits for the first packet of the video.
    pub fn wait(&self) -> Result<()> {
        let first = || (self.receiver.ledger.lock().received > 0).then_some(());
        within(Duration::from_secs(20), "video arrives", first)
    }

    /// An error if something that sends has ended.
    pub fn check(&mut self) -> Result<()> {
        self.sender.check()?;
        self.calls.iter_mut().try_for_each(Call::check)
    }

    /// Stops the senders, waits for what is under way and counts.
    pub fn finish(mut self, topology: &Topology, relay: &Relay) -> Result<Summary> {
        self.sender.stop()?;
        self.calls.iter_mut().try_for_each(Call::stop)?;
        let others: u64 = self.calls.iter().map(Call::client_datagrams).sum();
        let Some(video) = video::datagrams_sent(&topology.client)?.checked_sub(others) else {
            bail!("the client's sockets sent less than its calls did");
        };
        self.receiver.ledger.lock().sent = video;
        // Late or lost is told by waiting; the outcome is counted below, so running into the limit is no error here.
        let _ = within(Duration::from_secs(2), "video drains", || {
            (self.receiver.ledger.missing() == 0).then_some(())
        });
        let lost = self.ledgers().map(Ledger::missing).sum();
        let status = relay.status()?;
        Ok(Summary::new(
            status.kernel.packets,
            status.userspace.packets,
            lost,
            &self.receivers().delay,
        ))
    }

    pub fn receivers(&self) -> Receivers {
        let mut sum = Receivers {
            received: 0,
            gaps: 0,
            delay: Histogram::default(),
        };
        for ledger in self.ledgers() {
            let stream = ledger.lock();
            sum.received += stream.received;
            sum.gaps += stream.gaps();
            sum.delay.merge(&stream.delay);
        }
        sum
    }

    fn ledgers(&self) -> impl Iterator<Item = &Ledger> {
        let calls = self
            .calls
            .iter()
            .flat_map(|call| [&call.to_peer, &call.to_client]);
        std::iter::once(&self.receiver.ledger).chain(calls)
    }
}

fn ends(topology: &Topology, six: bool) -> Result<Ends<'_>> {
    let (client_ip, turn, peer_ip) = match six {
        true => (CLIENT_V6, EDGE_V6, SERVER_V6),
        false => (CLIENT_V4, EDGE_V4, SERVER_V4),
    };
    let turn = (turn.parse::<std::net::IpAddr>()?, TURN_PORT).into();
    Ok(Ends {
        client: &topology.client,
        client_ip,
        peer: &topology.server,
        peer_ip,
        turn,
    })
}
