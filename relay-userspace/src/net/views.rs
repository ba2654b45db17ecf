//! The sessions of one worker as rows for an operator. Reads only.

use std::rc::Rc;
use std::time::Instant;

use super::worker::Worker;
use crate::api;
use crate::fastpath::{FastPath, SessionId};
use crate::turn::{AllocationView, ChannelView};

const NO_CHANNEL: &str = "no channel bound: Send and Data indications run in userspace";

/// One row a channel, one an allocation without channels, one a forward session.
pub fn sessions(worker: &Rc<Worker>) -> Vec<api::Session> {
    let mut rows = worker.with_driver(|driver, context| {
        let (now, fastpath) = (context.now.mono, &context.shared.fastpath);
        let mut rows = Vec::new();
        for allocation in driver.server().allocations() {
            for channel in &allocation.channels {
                let mut row = of_allocation(&allocation, now);
                let share = driver.traffic(allocation.relayed, Some(channel.peer));
                of_channel(&mut row, channel, now);
                (row.userspace_to_peer, row.userspace_to_client) = (share.to_peer, share.to_client);
                row.age_seconds = seconds(share.since.unwrap_or(allocation.created), now);
                place(&mut row, fastpath);
                rows.push(row);
            }
            if allocation.channels.is_empty() {
                let mut row = of_allocation(&allocation, now);
                let share = driver.traffic(allocation.relayed, None);
                (row.userspace_to_peer, row.userspace_to_client) = (share.to_peer, share.to_client);
                rows.push(row);
            }
        }
        rows
    });
    worker.with_forwarding(|forwarding, context| {
        let now = context.now.mono;
        for (name, id, session) in forwarding.sessions() {
            let mut row = api::Session {
                id: id.0,
                kind: "forward".to_string(),
                owner: name.to_string(),
                client: session.client.remote,
                server: session.client.server,
                relayed: session.local,
                peer: Some(session.destination),
                expires_in_seconds: seconds(now, session.deadline),
                age_seconds: seconds(session.since, now),
                userspace_to_peer: session.to_destination,
                userspace_to_client: session.to_client,
                trouble: session.trouble.map(|trouble| {
                    let what = trouble.error.describe(session.destination.is_ipv6());
                    format!("{what}, {} s ago", seconds(trouble.at, now))
                }),
                ..blank(session.client.remote)
            };
            place(&mut row, &context.shared.fastpath);
            rows.push(row);
        }
    });
    rows
}

fn of_allocation(allocation: &AllocationView, now: Instant) -> api::Session {
    api::Session {
        id: allocation.id.0,
        owner: allocation.user.clone(),
        server: allocation.tuple.server,
        relayed: allocation.relayed,
        reason: Some(NO_CHANNEL.to_string()),
        expires_in_seconds: seconds(now, allocation.expires),
        age_seconds: seconds(allocation.created, now),
        ..blank(allocation.tuple.client)
    }
}

fn of_channel(row: &mut api::Session, channel: &ChannelView, now: Instant) {
    row.id = channel.session.0;
    row.peer = Some(channel.peer);
    row.channel = Some(channel.number);
    row.expires_in_seconds = row.expires_in_seconds.min(seconds(now, channel.expires));
}

/// Where it runs, and what the kernel relayed of it.
fn place(row: &mut api::Session, fastpath: &FastPath) {
    let placement = fastpath.session(SessionId(row.id));
    row.runs_in = if placement.in_kernel {
        "kernel"
    } else {
        "userspace"
    }
    .to_string();
    row.reason = placement.reason;
    row.kernel_to_peer = placement.traffic.near;
    row.kernel_to_client = placement.traffic.far;
}

fn blank(client: std::net::SocketAddr) -> api::Session {
    let none = api::Traffic::default();
    api::Session {
        id: 0,
        kind: "turn".to_string(),
        owner: String::new(),
        client,
        server: client,
        relayed: client,
        peer: None,
        channel: None,
        runs_in: "userspace".to_string(),
        reason: None,
        expires_in_seconds: 0,
        age_seconds: 0,
        kernel_to_peer: none,
        kernel_to_client: none,
        userspace_to_peer: none,
        userspace_to_client: none,
        trouble: None,
    }
}

fn seconds(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_secs()
}
