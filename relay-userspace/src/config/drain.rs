//! `[drain]` and `turn.alternate_servers`: how a relay that ends parts with its clients.

use std::time::Duration;

use super::fault::{At, Faults, Place, Wrong};
use super::raw::Raw;
use super::reader::Section;
use super::value::{self, Read, wrong};
use crate::turn::Alternate;

/// How long SIGTERM waits for what runs. Service managers wait 90 s by themselves, the unit in `deploy/` 15 s.
#[derive(Debug, Clone)]
pub struct Drain {
    pub on_stop: Duration,
}

impl Default for Drain {
    fn default() -> Self {
        let on_stop = Duration::from_secs(5);
        Self { on_stop }
    }
}

const LONGEST: Duration = Duration::from_secs(86_400);
const REMEDY: &str = "write ADDRESS:PORT (UDP and TCP), tls/ADDRESS:PORT, or tls/ADDRESS:PORT=NAME for the name in its certificate";

pub fn read(root: &mut Section<'_>, raw: &mut Raw, faults: &mut Faults) {
    let mut drain = root.section("drain", faults);
    raw.drain_on_stop = drain.text("on_stop", faults, value::duration);
    drain.finish(faults);
}

/// `ADDR:PORT` for UDP and TCP, `tls/ADDR:PORT[=NAME]` for TLS.
pub fn alternate(text: &str) -> Read<Alternate> {
    let (tls, rest) = match text.trim().strip_prefix("tls/") {
        Some(rest) => (true, rest),
        None => (false, text.trim()),
    };
    let (address, domain) = match rest.split_once('=') {
        Some((address, domain)) => (address, Some(domain)),
        None => (rest, None),
    };
    let parsed = address.parse::<std::net::SocketAddr>().ok();
    let Some(address) = parsed.filter(|one| one.port() != 0 && !one.ip().is_unspecified()) else {
        return wrong(format!("{text:?} is not the address of a server"), REMEDY);
    };
    let named = |name: &str| value::is_dns_name(name) && name.len() <= 253;
    if domain.is_some_and(|domain| !tls || !named(domain)) {
        return wrong(format!("{text:?} names no certificate of TLS"), REMEDY);
    }
    Ok(Alternate {
        address,
        tls,
        domain: domain.map(str::to_owned),
    })
}

pub fn rules(raw: &Raw, faults: &mut Faults) {
    if let Some(at) = raw.drain_on_stop.as_ref().filter(|at| at.value > LONGEST) {
        let remedy = "write 1d or less, usually 5s: whoever stops the relay waits for it";
        faults.add(&at.place, Wrong::new("is longer than a day", remedy));
    }
    let mut seen: Vec<(&Alternate, &Place)> = Vec::new();
    for At { value, place } in raw.alternates.iter().flatten() {
        let same =
            |one: &&(&Alternate, &Place)| (one.0.address, one.0.tls) == (value.address, value.tls);
        if let Some((_, first)) = seen.iter().find(same) {
            let problem = format!("{value} is there twice (first: {})", first.origin);
            faults.add(place, Wrong::new(problem, "remove one"));
        }
        seen.push((value, place));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_an_address_with_a_port_and_of_tls_maybe_a_name() {
        for good in [
            "192.0.2.7:3478",
            "[2001:db8::7]:3478",
            "tls/192.0.2.7:443",
            "tls/[2001:db8::7]:443=turn.example.org",
        ] {
            assert_eq!(alternate(good).unwrap().to_string(), good);
        }
        for bad in [
            "",
            "192.0.2.7",
            "192.0.2.7:0",
            "0.0.0.0:3478",
            "turn.example.org:3478",
            "192.0.2.7:3478=turn.example.org",
            "tls/192.0.2.7:443=",
            "tls/192.0.2.7:443=-",
            "udp/192.0.2.7:3478",
        ] {
            assert!(alternate(bad).is_err(), "{bad}");
        }
    }
}
