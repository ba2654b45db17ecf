//! Carries what [`Machine`] orders and [`Turn`] says to the sockets, and what comes of it back. Decides nothing itself.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use tokio::sync::mpsc;

use super::legs::{News, Secure, Udp};
use super::lengths::Lengths;
use super::network::Network;
use super::servers::Servers;
use super::{Command, Happening, Options, Stats};
use crate::client::request::Refused;
use crate::client::turn::{Event, Turn};
use crate::mode::{Fact, Leg, Machine, Notice, Order};

const LONGEST: usize = 1 << 16;
const CHANNEL_HEADER: usize = 4;

pub(super) struct Driver {
    servers: Servers,
    network: Network,
    machine: Machine,
    turn: Turn,
    udp: Option<Udp>,
    secure: Option<Secure>,
    channels: HashMap<SocketAddr, u16>,
    lengths: Lengths,
    /// But what is counted by others.
    stats: Stats,
    told: mpsc::Sender<Happening>,
    buffer: Vec<u8>,
}

/// What woke the driver up.
enum Wake {
    Command(Option<Command>),
    Datagram(io::Result<usize>),
    News(Option<News>),
    NetworkChanged,
    Due,
}

impl Driver {
    pub fn new(options: Options, told: mpsc::Sender<Happening>) -> Self {
        let machine = Machine::new(options.mode, options.policy, Instant::now());
        let turn = Turn::new(options.login.clone(), options.relayed_v4);
        Self {
            network: Network::watch(options.udp.ip()),
            servers: Servers::new(options.udp, options.secure),
            machine,
            turn,
            udp: None,
            secure: None,
            channels: HashMap::new(),
            lengths: Lengths::default(),
            stats: Stats::default(),
            told,
            buffer: vec![0; LONGEST],
        }
    }

    pub async fn run(mut self, mut commands: mpsc::Receiver<Command>) {
        loop {
            if self.carry_out().await.is_none() {
                return;
            }
            let now = Instant::now();
            let due = [self.machine.due(now), self.turn.due()];
            let wake = self.wait(&mut commands, due.into_iter().flatten().min());
            let wake = wake.await;
            let now = Instant::now();
            match wake {
                Wake::Command(None | Some(Command::End)) => return self.release(now).await,
                Wake::Command(Some(command)) => self.obey(now, command),
                Wake::Datagram(Ok(length)) => {
                    self.turn.take(now, Leg::Udp, &self.buffer[..length]);
                }
                Wake::Datagram(Err(error)) => self.fail(now, Leg::Udp, udp_fault(&error)),
                Wake::News(Some(News::Opened)) => self.machine.take(now, Fact::Opened(Leg::Tcp)),
                Wake::News(Some(News::Message(message))) => {
                    self.turn.take(now, Leg::Tcp, &message);
                }
                Wake::News(Some(News::Failed(fault))) => self.fail(now, Leg::Tcp, fault),
                Wake::News(None) => self.fail(now, Leg::Tcp, "the connection ended".into()),
                Wake::NetworkChanged => self.machine.take(now, Fact::NetworkChanged),
                Wake::Due => {
                    self.turn.tick(now);
                    self.machine.tick(now);
                }
            }
        }
    }

    async fn wait(&mut self, commands: &mut mpsc::Receiver<Command>, due: Option<Instant>) -> Wake {
        let (udp, buffer) = (&self.udp, &mut self.buffer);
        let datagram = async {
            match udp {
                Some(udp) => udp.receive(buffer).await,
                None => std::future::pending().await,
            }
        };
        let secure = &mut self.secure;
        let news = async {
            match secure {
                Some(secure) => secure.news.recv().await,
                None => std::future::pending().await,
            }
        };
        let due = async {
            match due {
                Some(due) => tokio::time::sleep_until(due.into()).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            command = commands.recv() => Wake::Command(command),
            datagram = datagram => Wake::Datagram(datagram),
            news = news => Wake::News(news),
            () = self.network.changed() => Wake::NetworkChanged,
            () = due => Wake::Due,
        }
    }

    /// Until nobody has anything more to say. `None`: it is over, or nobody listens.
    async fn carry_out(&mut self) -> Option<()> {
        loop {
            let now = Instant::now();
            if let Some(order) = self.machine.next_order() {
                self.order(now, order).await?;
            } else if let Some(event) = self.turn.next_event() {
                self.event(now, event).await?;
            } else if let Some((leg, message)) = self.turn.next_message() {
                self.send(now, leg, message);
            } else {
                return Some(());
            }
        }
    }

    async fn order(&mut self, now: Instant, order: Order) -> Option<()> {
        match order {
            Order::Open(Leg::Udp) => match Udp::open(self.servers.udp).await {
                Ok(udp) => {
                    self.udp = Some(udp);
                    self.machine.take(now, Fact::Opened(Leg::Udp));
                }
                Err(error) => self.fail(now, Leg::Udp, udp_fault(&error)),
            },
            Order::Open(Leg::Tcp) => self.secure = Some(Secure::open(self.servers.secure.clone())),
            Order::Close(leg) => self.close(leg),
            Order::Probe { leg, probe, bytes } => self.turn.probe(now, leg, probe, bytes),
            Order::Use(route) => self.turn.carry(now, route),
            Order::Tell(notice) => {
                let lost = self.lost(&notice);
                self.tell(Happening::Notice { notice, lost }).await?;
            }
            Order::GiveUp(refusal) => {
                let _ = self.tell(Happening::Ended(refusal)).await;
                return None;
            }
        }
        Some(())
    }

    async fn event(&mut self, now: Instant, event: Event) -> Option<()> {
        match event {
            Event::Heard(leg) => self.machine.take(now, Fact::Heard(leg)),
            Event::Answered { leg, probe } => {
                self.machine.take(now, Fact::Answered { leg, probe });
            }
            Event::InUse(route) => self.machine.take(now, Fact::InUse(route)),
            Event::Failed(leg, fault) => self.fail(now, leg, fault),
            Event::Refused(leg, refused) => {
                self.machine
                    .take(now, Fact::Refused(leg, refused.to_string()));
            }
            Event::Redirected(leg, refused) => self.redirect(now, leg, &refused),
            Event::Relayed(address) => self.tell(Happening::Relayed(address)).await?,
            Event::Bound(channel) => {
                self.tell_of(channel, |peer| Happening::Bound { peer })
                    .await?;
            }
            Event::Unbound(channel, refused) => {
                let unbound = |peer| Happening::Unbound { peer, refused };
                self.tell_of(channel, unbound).await?;
            }
            Event::Data { channel, data } => {
                self.notice_length(now, data.len());
                self.tell_of(channel, |peer| Happening::Data { peer, data })
                    .await?;
            }
        }
        Some(())
    }

    fn obey(&mut self, now: Instant, command: Command) {
        match command {
            Command::Open(peer) => {
                if let Some(channel) = self.turn.open_channel(now, peer) {
                    self.channels.insert(peer, channel);
                }
            }
            Command::Send(peer, data) => {
                self.notice_length(now, data.len());
                let channel = self.channels.get(&peer);
                let sent = channel.is_some_and(|channel| self.turn.send(*channel, &data));
                self.stats.dropped += u64::from(!sent);
            }
            Command::Stats(told) => {
                let waited_too_long = self.secure.as_ref().map_or(0, Secure::dropped);
                // Who asked may have gone.
                let _ = told.send(Stats {
                    traffic: self.turn.traffic,
                    dropped: self.stats.dropped + waited_too_long,
                });
            }
            Command::End => {}
        }
    }

    fn send(&mut self, now: Instant, leg: Leg, message: Vec<u8>) {
        let sent = match leg {
            Leg::Udp => match self.udp.as_ref().map(|udp| udp.send(&message)) {
                Some(Err(error)) => return self.fail(now, leg, udp_fault(&error)),
                Some(Ok(sent)) => sent,
                None => false,
            },
            Leg::Tcp => self
                .secure
                .as_ref()
                .is_some_and(|secure| secure.send(now, &message)),
        };
        self.stats.dropped += u64::from(!sent);
    }

    /// The relay wants its client elsewhere.
    fn redirect(&mut self, now: Instant, leg: Leg, refused: &Refused) {
        if self.servers.follow(leg, &refused.alternates) {
            self.network = Network::watch(self.servers.udp.ip());
            self.machine.take(now, Fact::Redirected);
        } else {
            let rule = refused.to_string();
            self.machine.take(now, Fact::Refused(leg, rule));
        }
    }

    fn notice_length(&mut self, now: Instant, payload: usize) {
        if let Some(bytes) = self.lengths.take(now, payload + CHANNEL_HEADER) {
            self.machine.take(now, Fact::Carries { bytes });
        }
    }

    fn fail(&mut self, now: Instant, leg: Leg, fault: String) {
        self.machine.take(now, Fact::Failed(leg, fault));
    }

    fn close(&mut self, leg: Leg) {
        self.turn.close(leg);
        match leg {
            Leg::Udp => self.udp = None,
            Leg::Tcp => {
                let closed = self.secure.take();
                self.stats.dropped += closed.map_or(0, |secure| secure.dropped());
            }
        }
    }

    /// Of a switch from a leg that still worked, nothing.
    fn lost(&self, notice: &Notice) -> u64 {
        match notice {
            Notice::TransportSwitched { gap, .. } if !gap.is_zero() => self.turn.traffic.unproven,
            _ => 0,
        }
    }

    async fn tell_of(
        &self,
        channel: u16,
        happening: impl FnOnce(SocketAddr) -> Happening,
    ) -> Option<()> {
        match self.turn.peer(channel) {
            Some(peer) => self.tell(happening(peer)).await,
            None => Some(()),
        }
    }

    async fn tell(&self, happening: Happening) -> Option<()> {
        self.told.send(happening).await.ok()
    }

    async fn release(mut self, now: Instant) {
        self.turn.release(now);
        while let Some((leg, message)) = self.turn.next_message() {
            self.send(now, leg, message);
        }
        if let Some(secure) = self.secure.take() {
            secure.finish().await;
        }
    }
}

fn udp_fault(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused: nobody listens there".to_owned(),
        _ => error.to_string(),
    }
}
