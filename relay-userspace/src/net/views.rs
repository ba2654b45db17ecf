//! The sessions of one worker as rows for an operator. Reads only.

mod rtp;

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Instant;

use super::worker::Worker;
use crate::api;
use crate::fastpath::{FastPath, SessionId};
use crate::tally::{Reading, Tally};
use crate::turn::{AllocationView, ChannelView};

const STREAM: &str = "its client comes by a connection (tcp, tls): the kernel path takes datagrams";
const NO_CHANNEL: &str = "no channel bound: Send and Data indications run in userspace";

/// One row a channel, one a relayed address without channels, one a forward session.
pub fn sessions(worker: &Rc<Worker>) -> Vec<api::Session> {
    let mut rows = worker.with_driver(|driver, context| {
        let (now, fastpath) = (context.now.mono, &context.shared.fastpath);
        let mut rows = Vec::new();
        for allocation in driver.server().allocations() {
            for channel in &allocation.channels {
                let mut row = of_allocation(&allocation, channel.relayed, now);
                let share = driver.traffic(channel.relayed, Some(channel.peer));
                of_channel(&mut row, channel, now);
                row.stream_dropped = driver.dropped(&allocation.tuple, channel.number);
                userspace(&mut row, [&share.to_peer, &share.to_client], now);
                row.dropped = share.refused.into();
                row.limit = context.shared.police.limit_of(channel.session);
                row.age_seconds = seconds(share.since.unwrap_or(allocation.created), now);
                place(&mut row, fastpath, now);
                rows.push(row);
            }
            for &relayed in &allocation.relayed {
                let of_it = |channel: &ChannelView| channel.relayed == relayed;
                if allocation.channels.iter().any(of_it) {
                    continue;
                }
                let mut row = of_allocation(&allocation, relayed, now);
                row.stream_dropped = driver.dropped(&allocation.tuple, 0);
                let share = driver.traffic(relayed, None);
                row.dropped = share.refused.into();
                row.limit = context.shared.police.limits().session;
                userspace(&mut row, [&share.to_peer, &share.to_client], now);
                rows.push(row);
            }
        }
        rows
    });
    worker.with_forwarding(|forwarding, context| {
        let now = context.now.mono;
        for (forward, id, session) in forwarding.sessions() {
            let mut row = api::Session {
                id: id.0,
                kind: "forward".to_string(),
                owner: forward.name.to_string(),
                dropped: forward.refused(id).into(),
                client: session.client.remote,
                server: session.client.server,
                relayed: session.local,
                peer: Some(session.destination),
                expires_in_seconds: seconds(now, session.deadline),
                age_seconds: seconds(session.since, now),
                trouble: session.trouble.map(|trouble| {
                    let what = trouble.error.describe(session.destination.is_ipv6());
                    format!("{what}, {} s ago", seconds(trouble.at, now))
                }),
                ..api::Session::blank(session.client.remote)
            };
            row.limit = context.shared.police.limit_of(id);
            userspace(&mut row, [&session.to_destination, &session.to_client], now);
            place(&mut row, &context.shared.fastpath, now);
            rows.push(row);
        }
    });
    rows
}

fn of_allocation(allocation: &AllocationView, relayed: SocketAddr, now: Instant) -> api::Session {
    api::Session {
        id: allocation.id.0,
        owner: allocation.user.clone(),
        transport: allocation.tuple.transport,
        server: allocation.tuple.server,
        relayed,
        reason: Some(NO_CHANNEL.to_string()),
        expires_in_seconds: seconds(now, allocation.expires),
        age_seconds: seconds(allocation.created, now),
        ..api::Session::blank(allocation.tuple.client)
    }
}

fn of_channel(row: &mut api::Session, channel: &ChannelView, now: Instant) {
    row.id = channel.session.0;
    row.peer = Some(channel.peer);
    row.channel = Some(channel.number);
    row.expires_in_seconds = row.expires_in_seconds.min(seconds(now, channel.expires));
}

/// What userspace relayed of it, to the peer and to the client.
fn userspace(row: &mut api::Session, [to_peer, to_client]: [&Tally; 2], now: Instant) {
    (row.userspace_to_peer, row.userspace_to_client) = (to_peer.total, to_client.total);
    for (pace, tally) in [(&mut row.to_peer, to_peer), (&mut row.to_client, to_client)] {
        let reading = tally.read(now);
        pace.userspace_packets_per_second = reading.rate.packets_per_second;
        add(pace, reading, now);
    }
}

fn add(pace: &mut api::Pace, reading: Reading, now: Instant) {
    pace.packets_per_second += reading.rate.packets_per_second;
    pace.bits_per_second += reading.rate.bits_per_second;
    let ago = reading.seen.map(|seen| seconds(seen, now));
    pace.last_seen_seconds = [pace.last_seen_seconds, ago].into_iter().flatten().min();
}

/// Where it runs, and what the kernel relayed of it.
fn place(row: &mut api::Session, fastpath: &FastPath, now: Instant) {
    let [near, far] = fastpath.observe(SessionId(row.id), now);
    add(&mut row.to_peer, near, now);
    add(&mut row.to_client, far, now);
    let placement = fastpath.session(SessionId(row.id));
    row.runs_in = if placement.in_kernel {
        "kernel"
    } else {
        "userspace"
    }
    .to_string();
    row.reason = match row.transport.is_stream() {
        true => Some(STREAM.to_string()),
        false => placement.reason,
    };
    row.dropped.to_peer += placement.traffic.refused[0];
    row.dropped.to_client += placement.traffic.refused[1];
    let [near, far] = fastpath.streams(SessionId(row.id));
    row.rtp_to_peer = near.map(|streams| rtp::views(&streams)).unwrap_or_default();
    row.rtp_to_client = far.map(|streams| rtp::views(&streams)).unwrap_or_default();
    row.kernel_to_peer = placement.traffic.near;
    row.kernel_to_client = placement.traffic.far;
}

fn seconds(from: Instant, to: Instant) -> u64 {
    to.saturating_duration_since(from).as_secs()
}
