//! What a driver and an honest witness know after every command: who was granted what, and until when.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use relay_userspace::fastpath::{SessionId, SessionSpec};
use relay_userspace::turn::{AllocationId, Command, Family};

use super::message::parse;
use super::stage::{Stage, client};

/// RFC 8656 §9 and §12.
pub const PERMISSION: Duration = Duration::from_secs(300);
pub const CHANNEL: Duration = Duration::from_secs(600);
const LONGEST: Duration = Duration::from_secs(3600);

/// What a client asked last.
#[derive(Clone, Copy, Debug)]
pub enum Asked {
    Allocate,
    Refresh,
    Permit(SocketAddr),
    Bind(SocketAddr),
}

#[derive(Default)]
pub struct Books {
    pub sessions: HashMap<SessionId, SessionSpec>,
    /// Ids this process gave.
    seen: HashSet<SessionId>,
    /// Relayed address to client.
    pub relayed: HashMap<SocketAddr, usize>,
    pub unbound: Vec<(AllocationId, Family)>,
    /// Granted at the latest until.
    permissions: HashMap<(usize, IpAddr), Instant>,
    allocations: HashMap<usize, Instant>,
}

impl Books {
    /// May data pass between this client and this peer?
    pub fn permits(&self, who: usize, peer: SocketAddr, now: Instant) -> bool {
        let alive = self.allocations.get(&who).is_some_and(|end| *end > now);
        let granted = self.permissions.get(&(who, peer.ip()));
        alive && granted.is_some_and(|end| *end > now)
    }

    /// Carries out what is ordered; `asked` is what caused it, if a request did.
    pub fn execute(&mut self, stage: &mut Stage, asked: Option<(usize, Asked)>) {
        let now = stage.now.mono;
        let mut installed = Vec::new();
        while let Some(command) = stage.server.next_command() {
            match command {
                Command::Send { to, bytes } => {
                    let answer = parse(&bytes).expect("an answer");
                    let who = usize::from(to.client.port() - 1000);
                    assert_eq!(to, client(who));
                    if let Some(lifetime) = answer.lifetime.filter(|_| answer.success) {
                        let lifetime = Duration::from_secs(lifetime.into());
                        assert!(lifetime <= LONGEST);
                        self.allocations.insert(who, now + lifetime);
                    }
                    let (asker, asked) = asked.expect("answers somebody");
                    assert_eq!(asker, who, "answers somebody else");
                    if answer.success {
                        self.granted(stage, who, asked);
                    }
                }
                Command::BindRelay {
                    allocation, family, ..
                } => self.unbound.push((allocation, family)),
                Command::ReleaseRelay { relayed, .. } => {
                    let who = self.relayed.remove(&relayed).expect("was bound");
                    self.permissions.retain(|(owner, _), _| *owner != who);
                    self.allocations.remove(&who);
                }
                Command::CancelReservation { .. } => {}
                Command::InstallSession { session, spec, .. } => {
                    assert!(self.seen.insert(session), "an id twice");
                    self.sessions.insert(session, spec);
                    installed.push(session);
                }
                Command::ExtendSession {
                    session,
                    near_deadline,
                    far_deadline,
                } => {
                    let spec = self.sessions.get_mut(&session).expect("is installed");
                    (spec.near.deadline, spec.far.deadline) = (near_deadline, far_deadline);
                    installed.push(session);
                }
                Command::RemoveSession { session } => {
                    assert!(self.sessions.remove(&session).is_some(), "is not installed");
                }
                other => panic!("nobody asked for {other:?}"),
            }
        }
        for session in installed {
            if let Some(spec) = self.sessions.get(&session).copied() {
                self.may_run(stage, &spec);
            }
        }
    }

    fn granted(&mut self, stage: &Stage, who: usize, asked: Asked) {
        let (Asked::Permit(peer) | Asked::Bind(peer)) = asked else {
            return;
        };
        assert!(
            stage.policy.check_address(peer.ip()).is_ok(),
            "{peer} is forbidden"
        );
        let end = stage.now.mono + PERMISSION;
        self.permissions.insert((who, peer.ip()), end);
    }

    /// What is installed its client was granted, and it ends when that does.
    fn may_run(&self, stage: &Stage, spec: &SessionSpec) {
        let (now, peer) = (stage.now.mono, spec.far.remote);
        let who = self
            .relayed
            .get(&spec.far.local)
            .expect("its address is bound");
        assert_eq!(
            spec.near.remote,
            client(*who).client,
            "somebody else's session"
        );
        assert!(stage.policy.check(peer).is_ok(), "{peer} is forbidden");
        let end = self.allocations[who];
        assert!(spec.near.deadline <= end.min(now + CHANNEL));
        let granted = self.permissions.get(&(*who, peer.ip())).copied();
        assert!(spec.far.deadline <= granted.unwrap_or(now), "no permission");
    }

    /// The process is gone; its sessions are what another will be asked to take over.
    pub fn forget_process(&mut self) -> HashMap<SessionId, SessionSpec> {
        self.unbound.clear();
        let before = std::mem::take(&mut self.sessions);
        self.seen.clear();
        before
    }

    pub fn lapsed(&mut self, relayed: SocketAddr) {
        let who = self.relayed.remove(&relayed).expect("was bound");
        self.permissions.retain(|(owner, _), _| *owner != who);
        self.allocations.remove(&who);
    }
}
