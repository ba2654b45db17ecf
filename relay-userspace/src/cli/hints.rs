//! What a person sees after the start: where the relay listens, where packets run and why, and what to try next.

use std::fmt::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::admin::ice;
use crate::api::{ForwardView, Status};
use crate::credentials::Credentials;

use super::state::Generated;

/// The one line on stdout that says the relay can be used.
pub fn ready_line(status: &Status, socket: &Path) -> String {
    let all = [
        ("udp", &status.listen),
        ("tcp", &status.listen_tcp),
        ("tls", &status.listen_tls),
    ];
    let mut text = "relay ready".to_owned();
    for (protocol, addresses) in all {
        let addresses: Vec<_> = addresses.iter().map(SocketAddr::to_string).collect();
        if !addresses.is_empty() {
            let _ = write!(text, " {protocol}={}", addresses.join(","));
        }
    }
    let _ = write!(text, " admin={} pid={}", socket.display(), status.pid);
    text
}

pub struct Started<'a> {
    pub status: &'a Status,
    pub forwards: &'a [ForwardView],
    pub metrics: Option<SocketAddr>,
    pub generated: &'a Generated,
    /// Where the certificate is that the relay made for itself.
    pub own_certificate: Option<&'a Path>,
    pub credentials: &'a Credentials,
    pub unix_now: u64,
}

pub fn human(it: &Started<'_>) -> String {
    let mut text = String::new();
    let status = it.status;
    put(&mut text, "listening", &status.listeners().join(", "));
    for closed in &status.not_listening {
        put(&mut text, "warning", closed);
    }
    if let Some(path) = it.own_certificate {
        let value = format!(
            "{} (self-signed: clients refuse it unless told otherwise; name a real one with --certificate)",
            path.display()
        );
        put(&mut text, "certificate", &value);
    }
    for forward in it.forwards {
        let fault = forward
            .fault
            .as_ref()
            .map_or(String::new(), |fault| format!(" ({fault})"));
        put(
            &mut text,
            "forward",
            &format!(
                "{}: udp/{} to {}{fault}",
                forward.name, forward.listen, forward.to
            ),
        );
    }
    for card in &status.cards {
        let why = card
            .reason
            .as_ref()
            .map_or(String::new(), |reason| format!(" ({reason})"));
        put(
            &mut text,
            "card",
            &format!("{}: {}{why}", card.name, card.mode),
        );
    }
    if let Some(why) = &status.kernel_off {
        put(&mut text, "kernel", &format!("off: {why}"));
    }
    if status.cards.is_empty() {
        put(
            &mut text,
            "hint",
            "to relay in the kernel, name the card: relay serve --interface IF (see `ip -br link`)",
        );
    }
    if let Some(address) = it.metrics {
        put(&mut text, "metrics", &format!("http://{address}/metrics"));
    }
    match it.generated {
        Generated::No if it.credentials.has_secret() => put(
            &mut text,
            "hint",
            "for credentials: relay credentials --user NAME --ttl 1h",
        ),
        Generated::No | Generated::Kept => {}
        Generated::InMemory(why) => put(
            &mut text,
            "warning",
            &format!("the generated secret is not kept ({why}): credentials end with this process"),
        ),
    }
    if *it.generated != Generated::No {
        let reach = ice::advertised(status);
        let wish = ice::Wish {
            user: "demo",
            ttl: Duration::from_secs(86_400),
            unix_now: it.unix_now,
        };
        let servers = ice::servers(it.credentials, wish, &reach);
        let json = servers.and_then(|servers| serde_json::to_string(&servers).ok());
        put(
            &mut text,
            "ICE servers",
            &format!("{} (one day)", json.unwrap_or_default()),
        );
        put(
            &mut text,
            "hint",
            "for more: relay credentials --user NAME --ttl 1h",
        );
    }
    text
}

fn put(text: &mut String, what: &str, value: &str) {
    let _ = writeln!(text, "{:<12} {value}", format!("{what}:"));
}
