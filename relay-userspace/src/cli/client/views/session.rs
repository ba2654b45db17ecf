//! Sessions as text for people: where each runs, how fast, and why not faster.

use std::fmt::Write;

use super::or_dash;
use crate::api::{Pace, Session, Traffic};
use crate::cli::output::{bits, bytes, table};

pub fn sessions(all: &[Session]) -> String {
    let head = [
        "ID",
        "KIND",
        "OWNER",
        "CLIENT",
        "PEER",
        "RUNS IN",
        "TO PEER",
        "TO CLIENT",
        "RATE",
        "SEEN",
        "EXPIRES",
        "WHY",
    ];
    let row = |s: &Session| {
        let to_peer = s.kernel_to_peer.bytes + s.userspace_to_peer.bytes;
        let to_client = s.kernel_to_client.bytes + s.userspace_to_client.bytes;
        let seen = [&s.to_peer, &s.to_client].map(|pace| pace.last_seen_seconds);
        vec![
            s.id.to_string(),
            s.kind.clone(),
            s.owner.clone(),
            format!("{}/{}", s.transport, s.client),
            s.peer.map_or("-".to_owned(), |peer| peer.to_string()),
            runs_in(s),
            bytes(to_peer),
            bytes(to_client),
            bits(s.to_peer.bits_per_second + s.to_client.bits_per_second),
            ago(seen.into_iter().flatten().min()),
            format!("{}s", s.expires_in_seconds),
            or_dash(s.note.clone().or(s.reason.clone()).unwrap_or_default()),
        ]
    };
    table(&head, &all.iter().map(row).collect::<Vec<_>>())
}

/// `kernel`, `userspace`, or how much of a kernel session is not.
pub fn runs_in(s: &Session) -> String {
    match &s.note {
        Some(_) => format!("{}, {}% not", s.runs_in, s.userspace_percent),
        None => s.runs_in.clone(),
    }
}

pub fn session(s: &Session) -> String {
    let mut text = String::new();
    let mut put = |what: &str, value: String| {
        let _ = writeln!(text, "{what:<16} {value}");
    };
    put("session", format!("{} ({})", s.id, s.kind));
    put("owner", s.owner.clone());
    put("client", format!("{}/{}", s.transport, s.client));
    put("server", s.server.to_string());
    put("relayed", s.relayed.to_string());
    put(
        "peer",
        s.peer.map_or("-".to_owned(), |peer| peer.to_string()),
    );
    put(
        "channel",
        s.channel
            .map_or("-".to_owned(), |number| format!("{number:#06x}")),
    );
    put("runs in", s.runs_in.clone());
    if let Some(reason) = &s.reason {
        put("why", reason.clone());
    }
    if let Some(note) = &s.note {
        put("but", note.clone());
    }
    if s.stream_dropped > 0 {
        let text = format!("{} datagrams: its connection is too slow", s.stream_dropped);
        put("client missed", text);
    }
    if let Some(trouble) = &s.trouble {
        put("destination", trouble.clone());
    }
    put(
        "age, expires in",
        format!("{}s, {}s", s.age_seconds, s.expires_in_seconds),
    );
    text.push('\n');
    let rows = [
        direction("to peer", s.kernel_to_peer, s.userspace_to_peer, &s.to_peer),
        direction(
            "to client",
            s.kernel_to_client,
            s.userspace_to_client,
            &s.to_client,
        ),
    ];
    text + &table(
        &[
            "",
            "IN KERNEL",
            "IN USERSPACE",
            "PACKETS/S",
            "RATE",
            "LAST SEEN",
        ],
        &rows,
    )
}

fn direction(name: &str, kernel: Traffic, userspace: Traffic, pace: &Pace) -> Vec<String> {
    let traffic = |t: Traffic| format!("{} packets, {}", t.packets, bytes(t.bytes));
    vec![
        name.to_owned(),
        traffic(kernel),
        traffic(userspace),
        format!("{:.0}", pace.packets_per_second),
        bits(pace.bits_per_second),
        match pace.last_seen_seconds {
            Some(_) => format!("{} ago", ago(pace.last_seen_seconds)),
            None => "never".to_owned(),
        },
    ]
}

fn ago(seconds: Option<u64>) -> String {
    seconds.map_or("-".to_owned(), |seconds| format!("{seconds}s"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_session_that_takes_userspace_says_so_in_both_views() {
        let mut session = Session::blank("192.0.2.1:1".parse().unwrap());
        session.runs_in = "kernel".to_owned();
        session.userspace_to_peer = Traffic {
            packets: 300,
            bytes: 30_000,
        };
        session.to_peer = Pace {
            packets_per_second: 50.0,
            bits_per_second: 40_000.0,
            userspace_packets_per_second: 50.0,
            last_seen_seconds: Some(0),
        };
        session.userspace_percent = 100;
        session.note = Some("100 % of its packets take userspace; likely: because".to_owned());
        let text = super::session(&session);
        for part in [
            "runs in          kernel",
            "but              100 %",
            "300 packets, 30.0 kB",
            "40.0 kbit/s",
            "0s ago",
            "never",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
        let list = sessions(&[session]);
        assert!(
            list.contains("kernel, 100% not") && list.contains("likely: because"),
            "{list}"
        );
    }
}
