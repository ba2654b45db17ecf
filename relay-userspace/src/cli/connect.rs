//! `relay connect`: local ports that lead through a relay. Connects, tells what happens, connects again.

mod args;
mod local;
pub mod plan;
mod telling;
mod token;

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, Interval, interval_at};

use super::exit::{Exit, Failure};
use crate::client::session::{Happening, Session};
use crate::mode::Refusal;
pub use args::{Connect, Proof};
use local::{TcpPorts, UdpPorts};
use plan::Plan;
use telling::{Own, Saying, Teller};

const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How a session ended.
enum End {
    /// It was there, or never came to be.
    Lost {
        was_ready: bool,
        refusal: Refusal,
    },
    Asked,
}

pub async fn connect(wish: Connect) -> Result<(), Failure> {
    let teller = Teller::new(wish.json);
    let mut plan = Plan::read(&wish).await?;
    let mut renewing = JoinSet::new();
    if let Some(renewal) = plan.renewal.take() {
        renewing.spawn(renewal.run(teller));
    }
    let tcp = TcpPorts::open(&plan).await?;
    let udp = UdpPorts::open(&plan).await?;
    let mut stop = Stop::new()?;
    teller.say(Own::Listening {
        udp: udp.addresses(),
        tcp: tcp.addresses(),
    })?;
    if udp.is_empty() {
        stop.asked().await;
        return Ok(());
    }
    let (mut wait, mut was_ready) = (FIRST_WAIT, false);
    loop {
        match run(&plan, &udp, &teller, &mut stop, wish.stats).await? {
            End::Asked => return Ok(()),
            End::Lost {
                was_ready: now,
                refusal,
            } => {
                was_ready |= now;
                if !was_ready {
                    return Err(plan.failure(&refusal));
                }
                if now {
                    wait = FIRST_WAIT;
                }
                let pause = jittered(wait);
                wait = (2 * wait).min(LONGEST_WAIT);
                teller.say(Own::Reconnecting {
                    wait_ms: pause.as_millis() as u64,
                    reason: refusal.to_string(),
                })?;
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = stop.asked() => return Ok(()),
                }
            }
        }
    }
}

/// One session, as long as there is a way to the relay.
async fn run(
    plan: &Plan,
    udp: &UdpPorts,
    teller: &Teller,
    stop: &mut Stop,
    every: Duration,
) -> Result<End, Failure> {
    let (session, mut happenings) = Session::start(plan.options());
    let mut awaited: HashSet<SocketAddr> = udp.peers().collect();
    for peer in udp.peers() {
        session.open(peer).await;
    }
    let _readers = udp.read_into(&session);
    let mut relayed = None;
    let mut ready = false;
    let mut due = interval_at(Instant::now() + every, every);
    loop {
        let happening = tokio::select! {
            happening = next(&mut happenings, &session, &mut due, teller) => happening?,
            () = stop.asked() => {
                session.end().await;
                return Ok(End::Asked);
            }
        };
        match happening {
            Happening::Data { peer, data } => udp.deliver(peer, &data),
            Happening::Notice { notice, lost } => teller.say(Saying::notice(notice, lost))?,
            Happening::Relayed(address) => relayed = Some(address),
            Happening::Bound { peer } => {
                awaited.remove(&peer);
                if let (true, Some(relayed)) = (awaited.is_empty(), relayed) {
                    ready = true;
                    teller.say(Own::Ready { relayed })?;
                }
            }
            Happening::Unbound { peer, refused } => {
                let problem = format!(
                    "the relay does not relay to {peer}: {refused}: ask its operator (peers.allow)"
                );
                return Err(Failure::of_a_stranger(Exit::Failed, problem));
            }
            Happening::Ended(refusal) => {
                return Ok(End::Lost {
                    was_ready: ready,
                    refusal,
                });
            }
        }
    }
}

/// What happens next; statistics in the meantime.
async fn next(
    happenings: &mut mpsc::Receiver<Happening>,
    session: &Session,
    due: &mut Interval,
    teller: &Teller,
) -> Result<Happening, Failure> {
    loop {
        tokio::select! {
            happening = happenings.recv() => {
                let gone = || Failure::new(Exit::Internal, "the session ended without a word");
                return happening.ok_or_else(gone);
            }
            _ = due.tick() => {
                if let Some(stats) = session.stats().await {
                    teller.say(Saying::stats(stats))?;
                }
            }
        }
    }
}

/// Half to one and a half of it, so that the clients of a relay that was gone do not come back at once.
fn jittered(wait: Duration) -> Duration {
    let mut random = [0; 4];
    // Without randomness all of them wait as long, which is no reason not to come back.
    let _ = getrandom::fill(&mut random);
    let share = f64::from(u32::from_ne_bytes(random)) / f64::from(u32::MAX);
    wait.mul_f64(0.5 + share)
}

/// SIGINT or SIGTERM.
struct Stop([tokio::signal::unix::Signal; 2]);

impl Stop {
    fn new() -> Result<Self, Failure> {
        let listen = |kind| {
            signal(kind).map_err(|error| Failure::new(Exit::System, format!("signals: {error}")))
        };
        Ok(Self([
            listen(SignalKind::interrupt())?,
            listen(SignalKind::terminate())?,
        ]))
    }

    async fn asked(&mut self) {
        let [interrupt, terminate] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    }
}
