//! A TURN client that moves (RFC 8016): one allocation over a path of UDP or TLS, then over another. Never waits: whoever
//! has it polls it, so that a stream goes on while it moves.

mod path;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use relay_userspace::client::request::{Answer, Login, Request};
use relay_userspace::client::words;
use stun_types::attribute::ErrorCode;
use stun_types::message::TransactionId;
use turn_types::channel::ChannelData;

use crate::packet::channel_data;
pub use path::Path;

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
        let answer = ask(&mut path, &mut login, &words::allocate_mobile(true))?;
        let relayed = words::relayed(&answer)?;
        Ok(Self {
            login,
            path,
            former: None,
            moving: None,
            relayed,
            ticket: ticket(&answer)?,
        })
    }

    pub fn bind(&mut self, number: u16, peer: SocketAddr) -> Result<()> {
        let request = words::channel_bind(number, peer);
        ask(&mut self.path, &mut self.login, &request).map(drop)
    }

    /// Presents the ticket by `to`. [`Self::poll`] ends the move.
    pub fn start_move(&mut self, mut to: Path) -> Result<()> {
        let request = words::come_over(&self.ticket);
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
        let answers = answer.message()?.transaction_id();
        ensure!(answers == asked, "another's answer");
        match answer.refused()? {
            None => {
                self.ticket = ticket(&answer)?;
                self.former = Some(std::mem::replace(&mut self.path, moving.to));
            }
            Some(stale) if stale.code == ErrorCode::STALE_NONCE => {
                self.login.challenge(&answer.message()?)?;
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
    ask(&mut path, &mut login, &words::come_over(ticket)).map(drop)
}

fn ticket(answer: &Answer) -> Result<Vec<u8>> {
    words::ticket(answer)?.context("no MOBILITY-TICKET")
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
            Some(refused) if refused.is_challenge() && !challenged => {
                login.challenge(&answer.message()?)?;
            }
            Some(refused) => return Err(refused.into()),
        }
    }
    bail!("challenged twice")
}
