//! Users as the operator sees them: who has what now, summed over all workers. Changes nothing.

use std::collections::BTreeMap;

use super::Relay;
use crate::api::{Traffic, User};

impl Relay {
    /// Users of the configuration, and all others that hold something now, by name.
    pub async fn users(&self) -> Vec<User> {
        let credentials = self.credentials();
        let mut users: BTreeMap<String, User> = credentials
            .static_users()
            .map(|name| (name.to_owned(), User::blank(name, true)))
            .collect();
        let mut user = |name: &str, change: &dyn Fn(&mut User)| {
            let fresh = || User::blank(name, credentials.is_static(name));
            change(users.entry(name.to_owned()).or_insert_with(fresh));
        };
        for (name, held) in self.inner.turn.users() {
            user(&name, &|user| {
                user.allocations = held.allocations as u64;
                user.channels = held.channels as u64;
                user.permissions = held.permissions as u64;
            });
        }
        for limited in self.limits().users {
            user(&limited.user, &|user| {
                user.limit = limited.limit;
                user.dropped = limited.dropped;
            });
        }
        for session in self.sessions().await {
            if session.kind != "turn" {
                continue;
            }
            user(&session.owner, &|user| {
                user.sessions += u64::from(session.peer.is_some());
                add(&mut user.to_peer, session.kernel_to_peer);
                add(&mut user.to_peer, session.userspace_to_peer);
                add(&mut user.to_client, session.kernel_to_client);
                add(&mut user.to_client, session.userspace_to_client);
            });
        }
        users.into_values().collect()
    }
}

fn add(sum: &mut Traffic, more: Traffic) {
    sum.packets += more.packets;
    sum.bytes += more.bytes;
}
