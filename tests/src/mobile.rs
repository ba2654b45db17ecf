//! A TURN client that moves (RFC 8016): one allocation over a path of UDP or TLS, then over another. Never waits: whoever
//! has it polls it, so that a stream goes on while it moves.

mod path;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use stun_types::attribute::{AttributeType, ErrorCode, RawAttribute};
use stun_types::message::{Message, TransactionId};
use turn_types::attribute::{ChannelNumber, Lifetime, RequestedTransport, XorRelayedAddress};
use turn_types::channel::ChannelData;
use turn_types::message::{ALLOCATE, CHANNEL_BIND, REFRESH};

use crate::client::request::{Answer, Login, Refused, Request};
use crate::packet::channel_data;
pub use path::Path;

const MOBILITY_TICKET: AttributeType = AttributeType::new(0x8030);
const PATIENCE: Duration = Duration::from_secs(5);

pub struct MobileClient {
    login: Login,
    path: Path,
    /// Still read: what left the relay before the move comes by it.
    former: Option<Path>,
    moving: Option<Moving>,
    pub relayed: SocketAddr,
    pub ticket: Vec<u8>,
}

/// A Refresh that is not answered yet.
struct Moving {
    to: Path,
    request: Request,
    transaction: TransactionId,
}

impl MobileClient {
    /// Allocates by `path`.
    pub fn allocate(mut path: Path, user: &str, password: &str) -> Result<Self> {
        let mut login = Login::new(user, password);
        let mut request = Request::new(ALLOCATE);
        request.add(&RequestedTransport::new(RequestedTransport::UDP))?;
        request.add_raw(MOBILITY_TICKET, &[]);
        let answer = ask(&mut path, &mut login, &request)?;
        let relayed = answer.read(|message| {
            let relayed = message.attribute::<XorRelayedAddress>()?;
            Ok(relayed.addr(message.transaction_id()))
        })?;
        Ok(Self {
            login,
            path,
            former: None,
            moving: None,
            relayed,
            ticket: answer.read(ticket)?,
        })
    }

    pub fn bind(&mut self, number: u16, peer: SocketAddr) -> Result<()> {
        let mut request = Request::new(CHANNEL_BIND);
        request.add(&ChannelNumber::new(number))?;
        request.add_peer(peer)?;
        ask(&mut self.path, &mut self.login, &request).map(drop)
    }

    /// Presents the ticket by `to`. [`Self::poll`] ends the move.
    pub fn start_move(&mut self, mut to: Path) -> Result<()> {
        let request = refresh_with(&self.ticket)?;
        let (bytes, transaction) = request.encode(&self.login)?;
        to.send(&bytes)?;
        self.moving = Some(Moving {
            to,
            request,
            transaction,
        });
        Ok(())
    }

    pub fn has_moved(&self) -> bool {
        self.moving.is_none()
    }

    /// By the new path as soon as it has moved.
    pub fn send(&mut self, number: u16, data: &[u8]) -> Result<()> {
        self.path.send(&channel_data(number, data, 0))
    }

    /// What has come of the channel, by whichever path.
    pub fn poll(&mut self) -> Result<Vec<Vec<u8>>> {
        let mut messages = self.path.receive()?;
        if let Some(former) = &mut self.former {
            messages.extend(former.receive()?);
        }
        if let Some(moving) = &mut self.moving {
            messages.extend(moving.to.receive()?);
        }
        let mut data = Vec::new();
        for message in messages {
            match ChannelData::parse(&message) {
                Ok(channel) => data.push(channel.data().to_vec()),
                Err(_) => self.take_answer(message)?,
            }
        }
        Ok(data)
    }

    fn take_answer(&mut self, answer: Vec<u8>) -> Result<()> {
        let Some(mut moving) = self.moving.take() else {
            bail!("an answer to no request");
        };
        let asked = moving.transaction;
        let answer = Answer::new(answer);
        answer.read(|message| {
            ensure!(message.transaction_id() == asked, "another's answer");
            Ok(())
        })?;
        match answer.refused()? {
            None => {
                self.ticket = answer.read(ticket)?;
                self.former = Some(std::mem::replace(&mut self.path, moving.to));
            }
            Some(stale) if stale.code == ErrorCode::STALE_NONCE => {
                answer.read(|message| self.login.challenge(message))?;
                let (bytes, transaction) = moving.request.encode(&self.login)?;
                moving.to.send(&bytes)?;
                self.moving = Some(Moving {
                    transaction,
                    ..moving
                });
            }
            Some(refused) => return Err(refused.into()),
        }
        Ok(())
    }
}

/// What becomes of a ticket in this user's hands.
pub fn present(mut path: Path, user: &str, password: &str, ticket: &[u8]) -> Result<()> {
    let mut login = Login::new(user, password);
    ask(&mut path, &mut login, &refresh_with(ticket)?).map(drop)
}

fn refresh_with(ticket: &[u8]) -> Result<Request> {
    let mut request = Request::new(REFRESH);
    request.add(&Lifetime::new(600))?;
    request.add_raw(MOBILITY_TICKET, ticket);
    Ok(request)
}

fn ticket(message: &Message<'_>) -> Result<Vec<u8>> {
    let ticket: RawAttribute<'_> = message
        .raw_attribute(MOBILITY_TICKET)
        .context("no MOBILITY-TICKET")?;
    Ok(ticket.value.to_vec())
}

/// Waits for the answer, after one challenge if there is one. An error answer is a [`Refused`].
fn ask(path: &mut Path, login: &mut Login, request: &Request) -> Result<Answer> {
    for challenged in [false, true] {
        let (bytes, _) = request.encode(login)?;
        path.send(&bytes)?;
        let end = Instant::now() + PATIENCE;
        let answer = loop {
            if let Some(answer) = path.receive()?.pop() {
                break Answer::new(answer);
            }
            ensure!(Instant::now() < end, "no answer to {}", request.method());
            std::thread::yield_now();
        };
        match answer.refused()? {
            None => return Ok(answer),
            Some(Refused {
                code: ErrorCode::UNAUTHORIZED | ErrorCode::STALE_NONCE,
                ..
            }) if !challenged => answer.read(|message| login.challenge(message))?,
            Some(refused) => return Err(refused.into()),
        }
    }
    bail!("challenged twice")
}
