//! Client to client on this relay: two TURN sessions, each the other's peer, are one session in the kernel.
//!
//! ```text
//!            session A                        session B
//! client A ── near A │ far A ⇄ far B │ near B ── client B
//! ```
//! Far A goes from A's relayed address to B's, far B back: packets that would leave the host only to return to it.

use std::collections::HashMap;
use std::net::SocketAddr;

use super::{Leg, SessionId, SessionSpec};

/// Sessions by their far side.
#[derive(Debug, Default)]
pub struct Pairs {
    far: HashMap<(SocketAddr, SocketAddr), SessionId>,
}

impl Pairs {
    pub fn insert(&mut self, id: SessionId, spec: &SessionSpec) {
        if spec.far.channel.is_none() {
            self.far.insert((spec.far.local, spec.far.remote), id);
        }
    }

    pub fn remove(&mut self, id: SessionId, spec: &SessionSpec) {
        let key = (spec.far.local, spec.far.remote);
        if self.far.get(&key) == Some(&id) {
            self.far.remove(&key);
        }
    }

    /// The session at the other end of `spec`, if it is a client's of this relay and leads back.
    pub fn partner(&self, id: SessionId, spec: &SessionSpec) -> Option<SessionId> {
        if self.far.get(&(spec.far.local, spec.far.remote)) != Some(&id) {
            return None;
        }
        let partner = self.far.get(&(spec.far.remote, spec.far.local)).copied();
        partner.filter(|partner| *partner != id)
    }
}

/// The one session of both near legs. A leg ends when any permission or channel on its way does.
pub fn join(a: &SessionSpec, b: &SessionSpec) -> SessionSpec {
    SessionSpec {
        near: Leg {
            deadline: a.near.deadline.min(b.far.deadline),
            ..a.near
        },
        far: Leg {
            deadline: b.near.deadline.min(a.far.deadline),
            ..b.near
        },
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    fn spec(client: &str, channel: u16, relayed: &str, peer: &str, now: Instant) -> SessionSpec {
        let leg = |remote: &str, local: &str, channel, seconds| Leg {
            remote: remote.parse().unwrap(),
            local: local.parse().unwrap(),
            channel,
            deadline: now + Duration::from_secs(seconds),
        };
        SessionSpec {
            near: leg(client, "192.0.2.1:3478", Some(channel), 600),
            far: leg(peer, relayed, None, 300),
        }
    }

    #[test]
    fn two_sessions_that_lead_to_each_other_are_a_pair_until_one_ends() {
        let now = Instant::now();
        let (a, b) = (SessionId(1), SessionId(2));
        let spec_a = spec(
            "198.51.100.1:1",
            0x4000,
            "192.0.2.1:5000",
            "192.0.2.1:5001",
            now,
        );
        let spec_b = spec(
            "198.51.100.2:2",
            0x4001,
            "192.0.2.1:5001",
            "192.0.2.1:5000",
            now,
        );
        let mut pairs = Pairs::default();
        pairs.insert(a, &spec_a);
        assert_eq!(pairs.partner(a, &spec_a), None);
        pairs.insert(b, &spec_b);
        assert_eq!(pairs.partner(a, &spec_a), Some(b));
        assert_eq!(pairs.partner(b, &spec_b), Some(a));
        pairs.remove(b, &spec_b);
        assert_eq!(pairs.partner(a, &spec_a), None);
    }

    #[test]
    fn a_client_whose_peer_is_itself_has_no_partner() {
        let own = spec(
            "198.51.100.1:1",
            0x4000,
            "192.0.2.1:5000",
            "192.0.2.1:5000",
            Instant::now(),
        );
        let mut pairs = Pairs::default();
        pairs.insert(SessionId(1), &own);
        assert_eq!(pairs.partner(SessionId(1), &own), None);
    }

    #[test]
    fn a_pair_ends_with_its_first_permission_or_channel() {
        let now = Instant::now();
        let a = spec(
            "198.51.100.1:1",
            0x4000,
            "192.0.2.1:5000",
            "192.0.2.1:5001",
            now,
        );
        let mut b = spec(
            "198.51.100.2:2",
            0x4001,
            "192.0.2.1:5001",
            "192.0.2.1:5000",
            now,
        );
        b.near.deadline = now + Duration::from_secs(30);
        b.far.deadline = now + Duration::from_secs(20);
        let joined = join(&a, &b);
        assert_eq!(
            (joined.near.remote, joined.far.remote),
            (a.near.remote, b.near.remote)
        );
        assert_eq!(joined.near.deadline, now + Duration::from_secs(20));
        assert_eq!(joined.far.deadline, now + Duration::from_secs(30));
    }
}
