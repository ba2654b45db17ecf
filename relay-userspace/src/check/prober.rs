//! Questions to a TURN server over one wire, and how long their answers take: probes, a burst of them, an allocation.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::report::{Loss, Spread};
use super::wire::Wire;
use crate::client::request::{Login, Refused};
use crate::client::turn::{Event, Turn};
use crate::mode::{Leg, Route};

const PROBES: usize = 5;
/// A lost one is asked again so often before the wire counts as dead.
const TRIES: usize = 3;
const PATIENCE: Duration = Duration::from_millis(800);
/// One that came back already says that this wire is slow, not dead.
const BETWEEN: Duration = Duration::from_millis(20);

pub struct Prober {
    wire: Wire,
    leg: Leg,
    turn: Turn,
    next: u64,
    sent: HashMap<u64, Instant>,
    /// Bytes of the longest message that came.
    pub longest: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum Silence {
    #[error("no answer to {TRIES} questions")]
    Unanswered,
    #[error("{0}")]
    Broken(#[from] io::Error),
    #[error("{0}")]
    Refused(Refused),
    #[error("{0}")]
    Failed(String),
}

impl Prober {
    /// `login`: for an allocation.
    pub fn new(wire: Wire, login: Option<&Login>, ipv4: bool) -> Self {
        let leg = match wire {
            Wire::Datagrams { .. } => Leg::Udp,
            Wire::Stream { .. } => Leg::Tcp,
        };
        let nobody = Login::new("", "");
        Self {
            wire,
            leg,
            turn: Turn::new(login.cloned().unwrap_or(nobody), ipv4),
            next: 0,
            sent: HashMap::new(),
            longest: 0,
        }
    }

    /// Of several short questions, one after the other.
    pub async fn round_trips(&mut self) -> Result<Spread, Silence> {
        let mut times = Vec::new();
        let mut tries = 0;
        while times.len() < PROBES {
            match self.round_trip().await? {
                Some(time) => times.push(time),
                None if times.is_empty() && tries + 1 == TRIES => return Err(Silence::Unanswered),
                None if tries + 1 >= TRIES => break,
                None => tries += 1,
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Ok(Spread::of(times))
    }

    async fn round_trip(&mut self) -> Result<Option<Duration>, Silence> {
        let probe = self.ask(0).await?;
        let until = Instant::now() + PATIENCE;
        while let Some(event) = self.event(until).await? {
            if let Event::Answered {
                probe: answered, ..
            } = event
            {
                let took = self.sent.remove(&answered).map(|at| at.elapsed());
                if answered == probe {
                    return Ok(took);
                }
            }
        }
        Ok(None)
    }

    /// `count` questions of `bytes`, evenly apart, and how many of them were not answered `last` after the last one.
    pub async fn burst(
        &mut self,
        count: usize,
        bytes: usize,
        every: Duration,
        last: Duration,
    ) -> Result<Loss, Silence> {
        let began = Instant::now();
        let mut answered = 0;
        for number in 0..count {
            self.ask(bytes).await?;
            let end = match number + 1 == count {
                true => Instant::now() + last,
                false => began + every * (number as u32 + 1),
            };
            while answered < count
                && let Some(event) = self.event(end).await?
            {
                answered += usize::from(matches!(event, Event::Answered { .. }));
            }
        }
        Ok(Loss {
            sent: count,
            lost: count - answered,
            bytes,
        })
    }

    /// Asks for a relayed address, and gives it back.
    pub async fn allocate(&mut self, patience: Duration) -> Result<SocketAddr, Silence> {
        let until = Instant::now() + patience;
        self.turn.carry(Instant::now(), Route::Only(self.leg));
        while let Some(event) = self.event(until).await? {
            match event {
                Event::Relayed(address) => {
                    self.give_back().await?;
                    return Ok(address);
                }
                Event::Refused(_, refused) => return Err(Silence::Refused(refused)),
                Event::Failed(_, fault) => return Err(Silence::Failed(fault)),
                _ => {}
            }
        }
        Err(Silence::Failed("no answer to ALLOCATE".to_owned()))
    }

    /// Until the server has heard it, so that nothing of it is left.
    async fn give_back(&mut self) -> Result<(), Silence> {
        let until = Instant::now() + PATIENCE;
        self.turn.release(Instant::now());
        self.flush().await?;
        while self.turn.due().is_some() && self.event(until).await?.is_some() {}
        Ok(())
    }

    async fn ask(&mut self, bytes: usize) -> Result<u64, Silence> {
        let probe = self.next;
        self.next += 1;
        let now = Instant::now();
        self.turn.probe(now, self.leg, probe, bytes);
        self.sent.insert(probe, now);
        self.flush().await?;
        Ok(probe)
    }

    async fn flush(&mut self) -> io::Result<()> {
        while let Some((_, message)) = self.turn.next_message() {
            self.wire.send(message).await?;
        }
        Ok(())
    }

    /// The next thing that happens; `None`: nothing until then.
    async fn event(&mut self, until: Instant) -> Result<Option<Event>, Silence> {
        loop {
            self.flush().await?;
            if let Some(event) = self.turn.next_event() {
                return Ok(Some(event));
            }
            let now = Instant::now();
            if now >= until {
                return Ok(None);
            }
            let due = self.turn.due().map_or(until, |due| due.min(until));
            tokio::select! {
                message = self.wire.receive() => {
                    let message = message?;
                    self.longest = self.longest.max(message.len());
                    self.turn.take(Instant::now(), self.leg, &message);
                }
                () = tokio::time::sleep_until(due.into()) => self.turn.tick(Instant::now()),
            }
        }
    }
}
