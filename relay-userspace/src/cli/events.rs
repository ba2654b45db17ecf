//! `relay events`: what happens, line by line, until the relay ends or nobody reads any more.

use super::args::{Events, Global};
use super::client::client;
use super::exit::{Exit, Failure};
use super::output::{self, harmless};
use crate::events::{Event, Kind, Peer};

pub async fn events(global: &Global, wish: Events) -> Result<(), Failure> {
    let of: Vec<_> = wish.filter.iter().map(ToString::to_string).collect();
    let mut query = format!("/v1/events?of={}", of.join(","));
    if let Some(user) = &wish.user {
        query.push_str("&user=");
        query.push_str(&output::percent_encoded(user));
    }
    let mut lines = client(global).lines(&query).await?;
    while let Some(line) = lines.line().await? {
        match wish.read.json {
            true => output::line(&String::from_utf8_lossy(&line))?,
            false => {
                let event = serde_json::from_slice(&line);
                output::line(&describe(
                    &event.map_err(crate::admin::client::AskError::from)?,
                ))?;
            }
        }
    }
    Err(Failure::new(Exit::Failed, "the relay has ended"))
}

/// For people: what there is of it, in one line.
fn describe(event: &Event) -> String {
    let mut text = format!("{} {:<18}", clock(event.time_ms), event.event.to_string());
    let mut put = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            text.push_str(&format!(" {name}={}", harmless(&value)));
        }
    };
    if event.event == Kind::Subscribed {
        put("after", event.sequence.map(|number| number.to_string()));
    }
    put("id", event.id.map(|id| id.to_string()));
    put("user", event.user.clone());
    put("forward", event.forward.clone());
    let client = event.client.map(|client| match event.transport {
        Some(transport) => format!("{transport}/{client}"),
        None => client.to_string(),
    });
    put("client", client);
    let relayed: Vec<_> = event.relayed.iter().map(ToString::to_string).collect();
    put("relayed", (!relayed.is_empty()).then(|| relayed.join(",")));
    put(
        "peer",
        event.peer.map(|peer| match peer {
            Peer::Port(peer) => peer.to_string(),
            Peer::Host(peer) => peer.to_string(),
        }),
    );
    put("channel", event.channel.map(|n| format!("{n:#x}")));
    put("expires", event.expires_in_seconds.map(|s| format!("{s}s")));
    put("lasted", event.lasted_seconds.map(|s| format!("{s}s")));
    let reason = event.reason.and_then(|reason| {
        let word = serde_json::to_value(reason).ok()?;
        word.as_str().map(str::to_owned)
    });
    put("reason", reason);
    for (name, traffic) in [("to_peer", event.to_peer), ("to_client", event.to_client)] {
        let traffic = traffic.map(|one| format!("{}/{}B", one.packets, one.bytes));
        put(name, traffic);
    }
    put("left", event.left.map(|left| left.to_string()));
    put("lost", event.lost.map(|lost| lost.to_string()));
    text.trim_end().to_owned()
}

/// The time of day in UTC.
fn clock(time_ms: u64) -> String {
    let (seconds, ms) = (time_ms / 1000 % 86_400, time_ms % 1000);
    let (hours, minutes) = (seconds / 3600, seconds / 60 % 60);
    format!("{hours:02}:{minutes:02}:{:02}.{ms:03}", seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Change, Reason, What};

    #[test]
    fn an_event_is_one_line_that_cannot_drive_the_terminal() {
        let event = Event {
            time_ms: 86_400_000 + 3_723_004,
            id: Some(7),
            user: Some("eve\u{1b}[2J".to_owned()),
            client: Some("192.0.2.1:5000".parse().unwrap()),
            transport: Some(crate::turn::Transport::Tls),
            reason: Some(Reason::FamilyEnded),
            to_peer: Some(crate::api::Traffic {
                packets: 2,
                bytes: 30,
            }),
            ..Event::new(What::Allocation, Change::Ended)
        };
        assert_eq!(
            describe(&event),
            "01:02:03.004 allocation.ended   id=7 user=eve\\u{1b}[2J client=tls/192.0.2.1:5000 \
             reason=family_ended to_peer=2/30B"
        );
    }
}
