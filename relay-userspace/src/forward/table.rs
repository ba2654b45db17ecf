//! The sessions of one forward on one worker, as a state machine: who may have one, where it goes, when it ends.
//! No sockets, no clock: datagrams and `now` in, verdicts and commands out.

mod answer;
mod restore;

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

pub use answer::{Client, Command, Opening, Refusal, Trouble, Unheard, Verdict};

use super::rate::SourceRate;
use super::shared::SharedLimit;
use crate::admission::Admission;
use crate::events::Reason;
use crate::fastpath::{Leg, SessionId, SessionSpec};
use crate::icmp::IcmpError;
use crate::tally::Tally;

/// How many times an idle period a session's counters are looked at: it lives at most a quarter longer than asked.
const CHECKS_PER_IDLE: u32 = 4;
const MEASURE: Duration = Duration::from_secs(1);

/// One client's way to the destination.
#[derive(Debug, Clone, Copy)]
pub struct Session {
    pub client: Client,
    pub destination: SocketAddr,
    /// Our address the destination sees.
    pub local: SocketAddr,
    pub since: Instant,
    pub deadline: Instant,
    /// Relayed by userspace.
    pub to_destination: Tally,
    pub to_client: Tally,
    /// The last ICMP error about the destination.
    pub trouble: Option<Trouble>,
    /// When it was last asked whether what the client sends fits.
    measured: Option<Instant>,
    /// Packets of kernel and userspace at the last check.
    seen: u64,
    next_check: Instant,
    /// From one check to the next.
    check_every: Duration,
}

/// Who may use the forward, and for how long without traffic.
#[derive(Debug, Clone)]
pub struct Rules {
    pub allow: Vec<IpNet>,
    pub idle: Duration,
    /// Closed: nobody new.
    pub admission: Admission,
}

pub struct Table {
    rules: Rules,
    limit: Arc<SharedLimit>,
    rate: SourceRate,
    targets: Vec<SocketAddr>,
    by_client: HashMap<Client, SessionId>,
    sessions: HashMap<SessionId, Session>,
    due: BTreeSet<(Instant, SessionId)>,
    commands: VecDeque<Command>,
    /// Until whoever carries their removal out has told of them.
    ended: HashMap<SessionId, (Session, Reason)>,
}

impl Table {
    pub fn new(rules: Rules, limit: Arc<SharedLimit>, targets: Vec<SocketAddr>) -> Table {
        Table {
            rules,
            limit,
            rate: SourceRate::default(),
            targets,
            by_client: HashMap::new(),
            sessions: HashMap::new(),
            due: BTreeSet::new(),
            commands: VecDeque::new(),
            ended: HashMap::new(),
        }
    }

    /// A datagram of `bytes` bytes from a client.
    pub fn handle_client(&mut self, now: Instant, client: Client, bytes: usize) -> Verdict {
        if let Some(id) = self.by_client.get(&client).copied()
            && let Some(session) = self.sessions.get_mut(&id)
        {
            if now < session.deadline {
                session.to_destination.count(now, bytes);
                return Verdict::Relay {
                    session: id,
                    destination: session.destination,
                };
            }
            self.end(id, Reason::Idle);
        }
        match self.admit(now, client) {
            Ok(opening) => Verdict::Open(opening),
            Err(refusal) => {
                self.limit.refuse();
                Verdict::Refused(refusal)
            }
        }
    }

    fn admit(&mut self, now: Instant, client: Client) -> Result<Opening, Refusal> {
        let source = client.remote.ip().to_canonical();
        if !self.rules.allow.is_empty() && !self.rules.allow.iter().any(|net| net.contains(&source))
        {
            return Err(Refusal::Allow);
        }
        if self.rules.admission.is_closed() {
            return Err(Refusal::Draining);
        }
        // Same family first: the kernel relays within one family.
        let same = |target: &&SocketAddr| target.is_ipv4() == client.server.is_ipv4();
        let target = self
            .targets
            .iter()
            .find(same)
            .or(self.targets.first())
            .ok_or(Refusal::NoTarget)?;
        if !self.rate.take(now, source) {
            return Err(Refusal::Rate);
        }
        if !self.limit.take() {
            return Err(Refusal::Full);
        }
        Ok(Opening {
            client,
            destination: *target,
        })
    }

    /// The relay port is bound: the session begins with the datagram of `bytes` bytes that asked for it.
    pub fn opened(
        &mut self,
        now: Instant,
        session: SessionId,
        opening: Opening,
        local: SocketAddr,
        bytes: usize,
    ) {
        let Opening {
            client,
            destination,
        } = opening;
        let mut to_destination = Tally::default();
        to_destination.count(now, bytes);
        let fresh = Session {
            client,
            destination,
            local,
            since: now,
            deadline: now + self.rules.idle,
            to_destination,
            to_client: Tally::default(),
            trouble: None,
            measured: None,
            seen: 0,
            next_check: now + self.check_every(),
            check_every: self.check_every(),
        };
        self.begin(session, fresh);
    }

    fn begin(&mut self, id: SessionId, session: Session) {
        let Session {
            client,
            destination,
            local,
            deadline,
            ..
        } = session;
        self.by_client.insert(client, id);
        self.sessions.insert(id, session);
        self.due.insert((session.next_check, id));
        let near = Leg {
            remote: client.remote,
            local: client.server,
            channel: None,
            deadline,
        };
        let far = Leg {
            remote: destination,
            local,
            channel: None,
            deadline,
        };
        self.commands.push_back(Command::Install {
            session: id,
            spec: SessionSpec { near, far },
        });
    }

    /// No relay port: the client's next datagram tries again.
    pub fn not_opened(&mut self, _opening: Opening) {
        self.limit.give_back();
    }

    /// A datagram at the session's relay port. Only the destination is heard, and only while the session lives.
    pub fn handle_destination(
        &mut self,
        now: Instant,
        session: SessionId,
        from: SocketAddr,
        bytes: usize,
    ) -> Result<Client, Unheard> {
        let session = self.sessions.get_mut(&session).ok_or(Unheard::Expired)?;
        if now >= session.deadline {
            return Err(Unheard::Expired);
        }
        if from != session.destination {
            return Err(Unheard::NotTheDestination);
        }
        session.to_client.count(now, bytes);
        Ok(session.client)
    }

    /// An ICMP error about what the session sent to `about`. Whom to tell, if it is the destination.
    pub fn handle_icmp(
        &mut self,
        now: Instant,
        session: SessionId,
        about: SocketAddr,
        error: IcmpError,
    ) -> Result<Client, Unheard> {
        let session = self.sessions.get_mut(&session).ok_or(Unheard::Expired)?;
        if about != session.destination {
            return Err(Unheard::NotTheDestination);
        }
        session.trouble = Some(Trouble { error, at: now });
        Ok(session.client)
    }

    /// Whether to ask again, once a second, if what the client sends fits the path.
    pub fn is_to_be_measured(&mut self, now: Instant, session: SessionId) -> bool {
        let Some(session) = self.sessions.get_mut(&session) else {
            return false;
        };
        let due = session.measured.is_none_or(|at| now >= at + MEASURE);
        if due {
            session.measured = Some(now);
        }
        due
    }

    /// Looks at every session that is due. `kernel` says how many packets the kernel relayed of one.
    pub fn handle_timeout(&mut self, now: Instant, kernel: impl Fn(SessionId) -> u64) {
        let check_every = self.check_every();
        while let Some((_, id)) = self.due.first().copied().filter(|(at, _)| *at <= now) {
            let Some(session) = self.sessions.get_mut(&id) else {
                break;
            };
            let seen =
                session.to_destination.total.packets + session.to_client.total.packets + kernel(id);
            if seen == session.seen && now >= session.deadline {
                self.end(id, Reason::Idle);
                continue;
            }
            session.check_every = check_every.min(2 * session.check_every);
            if seen != session.seen {
                session.check_every = check_every;
                session.seen = seen;
                session.deadline = now + self.rules.idle;
                self.commands.push_back(Command::Extend {
                    session: id,
                    deadline: session.deadline,
                });
            }
            self.due.remove(&(session.next_check, id));
            session.next_check = (now + session.check_every).min(session.deadline);
            self.due.insert((session.next_check, id));
        }
    }

    fn check_every(&self) -> Duration {
        self.rules.idle / CHECKS_PER_IDLE
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.due.first().map(|(at, _)| *at)
    }

    pub fn next_command(&mut self) -> Option<Command> {
        self.commands.pop_front()
    }

    /// The destination's addresses now. Sessions stay with an address that is gone until they are idle, unless it
    /// may no longer be reached.
    pub fn retarget(&mut self, targets: Vec<SocketAddr>, may_reach: impl Fn(SocketAddr) -> bool) {
        self.targets = targets;
        let denied = |session: &Session| {
            !self.targets.contains(&session.destination) && !may_reach(session.destination)
        };
        let ended: Vec<_> = self
            .sessions
            .iter()
            .filter(|(_, s)| denied(s))
            .map(|(id, _)| *id)
            .collect();
        ended
            .into_iter()
            .for_each(|id| self.end(id, Reason::Denied));
    }

    /// Ends a session now. False: not one of this table.
    pub fn kill(&mut self, session: SessionId) -> bool {
        let known = self.sessions.contains_key(&session);
        self.end(session, Reason::Killed);
        known
    }

    pub fn kill_all(&mut self, why: Reason) {
        let all: Vec<_> = self.sessions.keys().copied().collect();
        all.into_iter().for_each(|id| self.end(id, why));
    }

    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    pub fn sessions(&self) -> impl Iterator<Item = (SessionId, &Session)> {
        self.sessions.iter().map(|(id, session)| (*id, session))
    }

    /// Of a session whose removal is carried out: what it was, and why it ended.
    pub fn take_ended(&mut self, id: SessionId) -> Option<(Session, Reason)> {
        self.ended.remove(&id)
    }

    fn end(&mut self, id: SessionId, why: Reason) {
        let Some(session) = self.sessions.remove(&id) else {
            return;
        };
        self.by_client.remove(&session.client);
        self.due.remove(&(session.next_check, id));
        self.limit.give_back();
        self.ended.insert(id, (session, why));
        self.commands.push_back(Command::Remove { session: id });
    }
}

#[cfg(test)]
mod tests;
