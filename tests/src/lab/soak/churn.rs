//! One caller after the other: each allocates, talks to its peer by channel or by Send, and leaves. Kills may cost it
//! packets and answers, but nobody else's packet ever comes to it, and what it was answered stays true.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use serde::Serialize;

use super::PASSWORD;
use super::tag::Tag;
use crate::client::{FromPeer, Refused, TurnClient};
use crate::netns::NetNs;
use crate::topology::{CLIENT_V4, CLIENT_V6, EDGE_V4, EDGE_V6, SERVER_V4, SERVER_V6, Topology};

const PATIENCE: Duration = Duration::from_millis(60);
/// Packets each way of one call.
const PACKETS: u32 = 30;

#[derive(Debug, Default, Clone, Serialize)]
pub struct Churned {
    /// Calls that began, that heard all they were sent, and that a kill disturbed.
    pub begun: u64,
    pub whole: u64,
    pub disturbed: u64,
    /// Allocations the relay did not know although it had said so, and nobody had ended them.
    pub gone: u64,
    /// Clients that heard no answer to their Allocate: they may have an allocation all the same.
    #[serde(skip)]
    pub unanswered: HashSet<SocketAddr>,
    /// Packets of another session, at a client or at a peer.
    pub strangers: u64,
    /// Of these, those of calls that were over: the network held them, and TURN gives what comes from a permitted address
    /// to whoever has the port now.
    pub late: u64,
    pub packets: u64,
}

impl Churned {
    pub fn add(&mut self, other: Self) {
        self.begun += other.begun;
        self.whole += other.whole;
        self.disturbed += other.disturbed;
        self.gone += other.gone;
        self.unanswered.extend(other.unanswered);
        self.strangers += other.strangers;
        self.late += other.late;
        self.packets += other.packets;
    }
}

/// Calls that are not over.
pub type Live = Mutex<HashSet<u32>>;

pub struct Churn<'t> {
    live: &'t Live,
    topology: &'t Topology,
    user: &'static str,
    session: u32,
    churned: Churned,
}

impl<'t> Churn<'t> {
    pub fn new(
        topology: &'t Topology,
        live: &'t Live,
        number: usize,
        user: &'static str,
    ) -> Result<Self> {
        Ok(Self {
            live,
            topology,
            user,
            session: (number as u32 + 1) << 24,
            churned: Churned::default(),
        })
    }

    pub fn run(mut self, done: &AtomicBool) -> Result<Churned> {
        while !done.load(Relaxed) {
            self.session += 1;
            self.churned.begun += 1;
            self.live().insert(self.session);
            let call = self.call();
            self.live().remove(&self.session);
            match call {
                Ok(true) => self.churned.whole += 1,
                // Packets or answers were lost: the relay was killed in between.
                Ok(false) | Err(_) => self.churned.disturbed += 1,
            }
        }
        Ok(self.churned)
    }

    fn live(&self) -> std::sync::MutexGuard<'t, HashSet<u32>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// True if everything arrived.
    fn call(&mut self) -> Result<bool> {
        let v6 = self.session.is_multiple_of(3);
        let [client, edge, server] = match v6 {
            true => [CLIENT_V6, EDGE_V6, SERVER_V6],
            false => [CLIENT_V4, EDGE_V4, SERVER_V4],
        };
        let socket = bind(&self.topology.client, client)?;
        let peer = bind(&self.topology.server, server)?;
        peer.set_read_timeout(Some(PATIENCE))?;
        let relay = SocketAddr::new(edge.parse::<IpAddr>()?, 3478);
        let own = socket.local_addr()?;
        let allocated = TurnClient::allocate(socket, relay, self.user, PASSWORD);
        if allocated.is_err() {
            self.churned.unanswered.insert(own);
        }
        let mut client = allocated?;
        // Whoever had this port before is gone: the relay takes one allocation a client.
        self.churned.unanswered.remove(&own);
        let talked = self.talk(&mut client, &peer);
        if let Err(error) = client.refresh(600)
            && error.is::<Refused>()
        {
            eprintln!("{}: {own} is not known any more: {error:#}", self.session);
            self.churned.gone += 1;
        }
        leave(&mut client)?;
        talked
    }

    fn talk(&mut self, client: &mut TurnClient, peer: &UdpSocket) -> Result<bool> {
        let to = peer.local_addr()?;
        let channel = 0x4000 + (self.session % 0x3000) as u16;
        let by_channel = self.session.is_multiple_of(2);
        match by_channel {
            true => client.bind(channel, to)?,
            false => client.permit(to)?,
        }
        let mut arrived = 0;
        for number in 0..PACKETS {
            let tag = Tag {
                session: self.session,
                number,
            };
            match by_channel {
                true => client.send(channel, &tag.bytes())?,
                false => client.send_indication(to, &tag.bytes())?,
            }
            self.churned.packets += 1;
            let mut buffer = [0; 256];
            let Ok((length, from)) = peer.recv_from(&mut buffer) else {
                continue;
            };
            if !self.is_ours(&buffer[..length]) || from != client.relayed {
                self.count_stranger(&buffer[..length]);
                eprintln!("{} hears {:?} from {from}", self.session, &buffer[..length]);
                continue;
            }
            peer.send_to(&tag.bytes(), client.relayed)?;
            match client.receive(PATIENCE)? {
                None | Some(FromPeer::Icmp { .. }) => {}
                Some(heard) => {
                    let data = heard.clone().into_data();
                    arrived += u32::from(self.is_ours(&data));
                    if !self.is_ours(&data) {
                        self.count_stranger(&data);
                        eprintln!("{} hears {heard:?}", self.session);
                    }
                }
            }
        }
        Ok(arrived == PACKETS)
    }

    fn count_stranger(&mut self, packet: &[u8]) {
        self.churned.strangers += 1;
        let of_a_caller = |tag: &Tag| (1 << 24..u32::MAX).contains(&tag.session);
        let tag = Tag::read(packet).filter(of_a_caller);
        let is_over = |tag: Tag| !self.live().contains(&tag.session);
        self.churned.late += u64::from(tag.is_some_and(is_over));
    }

    fn is_ours(&self, packet: &[u8]) -> bool {
        Tag::read(packet).is_some_and(|tag| tag.session == self.session)
    }
}

/// Until the relay says so, or does not know the allocation: a kill may cost any answer.
fn leave(client: &mut TurnClient) -> Result<()> {
    loop {
        match client.refresh(0) {
            Ok(_) => return Ok(()),
            Err(error) if error.is::<Refused>() => return Err(error),
            Err(_) => {}
        }
    }
}

fn bind(namespace: &NetNs, address: &str) -> Result<UdpSocket> {
    let address: IpAddr = address.parse()?;
    namespace.enter(|| Ok(UdpSocket::bind((address, 0))?))
}
